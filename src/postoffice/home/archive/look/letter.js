// An HTML letter is shown as high as it is. Reading works without this, in a frame that scrolls.
"use strict";

for (const frame of document.querySelectorAll("iframe.html")) {
  const fit = () => {
    const inner = frame.contentDocument?.documentElement;
    if (inner) {
      frame.style.height = "1px";
      frame.style.height = `${Math.min(Math.max(inner.scrollHeight + 4, 80), 30000)}px`;
    }
  };
  frame.addEventListener("load", fit);
  window.addEventListener("resize", fit);
  fit();
}
