// The search of an archive. A page that lies on a disk may read no file beside it, but it may run scripts that lie there:
// each of them lends what it holds (`lend`), and only those are asked for that a question needs.
"use strict";

const shelf = new Map(); // what was lent, or is on its way, by name
const takers = new Map();
const SHOWN = 50;

// eslint-disable-next-line no-unused-vars
function lend(name, value) {
  takers.get(name)?.(value);
}

function borrow(name) {
  if (!shelf.has(name)) {
    const coming = new Promise((resolve, reject) => {
      takers.set(name, resolve);
      const script = document.createElement("script");
      script.src = `search/${name}.js`;
      script.onload = () => script.remove();
      script.onerror = () => {
        shelf.delete(name);
        reject(new Error(`search/${name}.js cannot be read; is the archive whole?`));
      };
      document.head.append(script);
    });
    shelf.set(name, coming);
  }
  return shelf.get(name);
}

// --- words, folded as when the archive was written -----------------------------------------------------------------

const ALONE = [
  [0x2e80, 0x2fdf], [0x3005, 0x3007], [0x3021, 0x3029], [0x3031, 0x3035], [0x3041, 0x30ff], [0x3100, 0x312f],
  [0x31a0, 0x31ff], [0x3400, 0x4dbf], [0x4e00, 0x9fff], [0xac00, 0xd7a3], [0xf900, 0xfaff], [0x20000, 0x3ffff],
];
const UNMARKED = { "đ": "d", "ø": "o", "ł": "l", "ħ": "h", "ŧ": "t", "ı": "i" };
const VOICING = "\u3099\u309a";
const WORD = /[\p{L}\p{N}_]+/gu;
const BEGINNING = 4;

class Folding {
  constructor({ casefolds, marks }) {
    this.casefolds = casefolds;
    this.marks = marks;
    this.known = new Map();
  }

  folded(text) {
    let whole = "";
    for (const character of text.normalize("NFKC")) {
      let one = this.known.get(character);
      if (one === undefined) {
        one = this.character(character);
        this.known.set(character, one);
      }
      whole += one;
    }
    return whole;
  }

  words(text) {
    return this.folded(text).match(WORD) ?? [];
  }

  character(character) {
    const code = character.codePointAt(0);
    if (code >= 0xd800 && code <= 0xdfff) {
      return " ";
    }
    if (standsAlone(character)) {
      return ` ${character} `;
    }
    let whole = "";
    for (const one of this.caseless(this.caseless(character).normalize("NFKD"))) {
      if (VOICING.includes(one) || !within(this.marks, one.codePointAt(0))) {
        whole += UNMARKED[one] ?? one;
      }
    }
    return whole;
  }

  caseless(text) {
    let whole = "";
    for (const one of text) {
      whole += this.casefolds[one] ?? one.toLowerCase();
    }
    return whole;
  }
}

function standsAlone(character) {
  const code = character.codePointAt(0);
  return code >= ALONE[0][0] && within(ALONE, code);
}

function within(ranges, code) {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (code < ranges[middle][0]) {
      high = middle - 1;
    } else if (code > ranges[middle][1]) {
      low = middle + 1;
    } else {
      return true;
    }
  }
  return false;
}

// --- questions -----------------------------------------------------------------------------------------------------

const COLUMNS = { from: "f", to: "t", cc: "c", subject: "s", has: "h" };
const DATES = ["before", "after", "on"];
const TERM = /\s*(-)?(?:([A-Za-z]+):(?!\/\/))?(?:"([^"]*)"|([^\s"]*))/y;

// All clauses must hold; of the terms in one, one must. Throws an Error with a sentence for what means nothing.
function readQuestion(text, folding) {
  const clauses = [];
  let joins = false;
  if ((text.match(/"/g) ?? []).length % 2) {
    text += '"';
  }
  TERM.lastIndex = 0;
  while (TERM.lastIndex < text.length && text.slice(TERM.lastIndex).trim()) {
    const found = TERM.exec(text);
    if (found[0].trim() === "OR") {
      joins = clauses.length > 0;
      continue;
    }
    const term = readTerm(found, folding);
    if (term === null) {
      continue;
    }
    if (joins) {
      clauses[clauses.length - 1].push(term);
    } else {
      clauses.push([term]);
    }
    joins = false;
  }
  if (!clauses.length) {
    throw new Error("Name a word to look for.");
  }
  return clauses;
}

function readTerm([, without, field, phrase, word], folding) {
  const name = (field ?? "").toLowerCase();
  const value = phrase ?? word;
  const isWithout = without !== undefined;
  if (name && !(name in COLUMNS) && !DATES.includes(name)) {
    const known = [...Object.keys(COLUMNS), ...DATES].join(", ");
    throw new Error(`“${field}:” is nothing that is looked for here (${known}).`);
  }
  if (DATES.includes(name)) {
    if (!/^\d{4}(-\d{1,2}(-\d{1,2})?)?$/.test(value)) {
      throw new Error(`${name}: takes a date: 2026, 2026-01 or 2026-01-31.`);
    }
    const date = value.split("-").map((part) => part.padStart(2, "0")).join("-");
    return { isWithout, when: name, date };
  }
  if (name === "has" && /^attachments?$/i.test(value)) {
    return { isWithout, column: "h", words: [], begins: false };
  }
  const words = folding.words(value);
  if (!words.length) {
    return null;
  }
  const last = words[words.length - 1];
  const begins =
    phrase === undefined && ([...last].length >= BEGINNING || value.endsWith("*")) && ![...last].some(standsAlone);
  return { isWithout, column: COLUMNS[name] ?? "", words, begins };
}

// --- which letters -------------------------------------------------------------------------------------------------

const DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const VALUES = new Map([...DIGITS].map((digit, value) => [digit, value]));

class Letters {
  constructor(about) {
    this.about = about;
    this.folding = new Folding(about.folding);
    this.lines = new Map();
  }

  // The numbers of letters for which a term may hold, one mark for each; `isSure` where it does hold for all of them.
  async mayHold(term) {
    const marks = new Uint8Array(this.about.letters + 1);
    if (term.when) {
      this.markDates(term, marks);
      return { marks, isSure: true };
    }
    const before = term.column ? `${term.column}:` : "";
    const units = unitsOf(term.words);
    if (!units.length) {
      await this.markWord(before, false, marks);
      return { marks, isSure: true };
    }
    for (const [index, unit] of units.entries()) {
      const those = index ? new Uint8Array(marks.length) : marks;
      await this.markWord(before + unit, term.begins && index === units.length - 1, those);
      if (index) {
        those.forEach((mark, number) => { marks[number] &= mark; });
      }
    }
    return { marks, isSure: units.length === 1 };
  }

  async markWord(word, begins, marks) {
    const firsts = this.about.words;
    let index = lastNotAbove(firsts, word);
    for (; index < firsts.length && (index < 0 || firsts[index] <= word || (begins && firsts[index].startsWith(word))); index++) {
      if (index < 0) {
        continue;
      }
      const lines = await this.linesOf(index);
      for (let at = firstNotBelow(lines, word); at < lines.length; at++) {
        const blank = lines[at].indexOf(" ");
        const there = lines[at].slice(0, blank);
        if (there !== word && !(begins && there.startsWith(word))) {
          break;
        }
        markNumbers(lines[at], blank + 1, marks);
      }
    }
  }

  async linesOf(index) {
    if (!this.lines.has(index)) {
      this.lines.set(index, (await borrow(`words-${index}`)).split("\n"));
    }
    return this.lines.get(index);
  }

  markDates({ when, date }, marks) {
    const days = this.about.days;
    const from = days.findIndex(([day]) => day >= date);
    const after = days.findIndex(([day]) => day > `${date}~`);
    const first = from < 0 ? marks.length : days[from][1];
    const behind = after < 0 ? marks.length : days[after][1];
    const [begin, end] = when === "before" ? [1, first] : when === "after" ? [behind, marks.length] : [first, behind];
    marks.fill(1, begin, end);
  }

  row(number) {
    const file = Math.floor((number - 1) / this.about.rows);
    return borrow(`rows-${file}`).then((rows) => rows[number - 1 - file * this.about.rows]);
  }

  // Sender, recipients, copies, subject, names of attachments, text; and whether the text was longer.
  text(number) {
    const file = lastNotAbove(this.about.texts, number);
    return borrow(`texts-${file}`).then((texts) => texts[number - this.about.texts[file]]);
  }

  // Whether a term does hold, as near as can be told.
  holds(term, text) {
    const columns = { f: [0], t: [1], c: [2], s: [3], h: [4], "": [0, 1, 2, 3, 4, 5] }[term.column];
    const found = columns.some((column) => hasWords(this.folding.words(text[column]), term));
    return found || (term.column === "" && text[6] === 1);
  }
}

// A word of several characters of a script without blanks is looked for by each two of them.
function unitsOf(words) {
  const units = [];
  words.forEach((word, index) => {
    const next = words[index + 1];
    const before = words[index - 1];
    if (!standsAlone(word)) {
      units.push(word);
    } else if (next !== undefined && standsAlone(next)) {
      units.push(word + next);
    } else if (before === undefined || !standsAlone(before)) {
      units.push(word);
    }
  });
  return units;
}

function hasWords(there, { words, begins }) {
  const last = words.length - 1;
  return there.some((_, at) => words.every((word, index) => {
    const one = there[at + index];
    return one === word || (begins && index === last && one?.startsWith(word));
  }));
}

function markNumbers(line, at, marks) {
  let number = 0;
  let step = 0;
  let weight = 1;
  for (; at < line.length; at++) {
    const digit = VALUES.get(line[at]);
    step += (digit & 31) * weight;
    weight *= 32;
    if (digit & 32) {
      number += step;
      marks[number] = 1;
      step = 0;
      weight = 1;
    }
  }
}

function lastNotAbove(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low - 1;
}

function firstNotBelow(lines, word) {
  let low = 0;
  let high = lines.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lines[middle].slice(0, lines[middle].indexOf(" ")) < word) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// The numbers of letters that answer a question, the newest first, as they are found.
async function* answers(letters, clauses) {
  const looked = await Promise.all(clauses.map(async (terms) => {
    const each = await Promise.all(terms.map(async (term) => ({ term, ...(await letters.mayHold(term)) })));
    return { each, isSure: each.every((one) => one.isSure) };
  }));
  for (let number = letters.about.letters; number > 0; number--) {
    const may = looked.every(({ each }) => each.some(({ term, marks, isSure }) => (
      term.isWithout ? !(isSure && marks[number]) : marks[number]
    )));
    if (!may) {
      continue;
    }
    const doubtful = looked.filter(({ isSure }) => !isSure);
    if (doubtful.length) {
      const text = await letters.text(number);
      const does = doubtful.every(({ each }) => each.some(({ term, marks, isSure }) => {
        const one = marks[number] === 1 && (isSure || letters.holds(term, text));
        return one !== term.isWithout;
      }));
      if (!does) {
        continue;
      }
    }
    yield number;
  }
}

// --- what is shown ---------------------------------------------------------------------------------------------------

function made(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function addressOf(number) {
  return `letters/${String(Math.floor(number / 1000)).padStart(3, "0")}/${number}.html`;
}

function rowOf(number, [date, sender, subject, folder, files], { about, folding }, needles) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = addressOf(number);
  const who = made("span", "who", "");
  const what = made("span", "what", "");
  who.append(marked(sender, 0, sender.length, needles, folding));
  what.append(marked(subject, 0, subject.length, needles, folding));
  who.dir = what.dir = "auto";
  if (files) {
    what.append(" ", made("span", "file", files === 1 ? "1 file" : `${files} files`));
  }
  const time = made("time", "", date);
  time.dateTime = date;
  const line = made("span", "line", about.folders.length > 1 ? about.folders[folder] : "");
  link.append(who, what, time, line);
  item.append(link);
  return { item, line };
}

const RAW_WORD = /[\p{L}\p{N}\p{M}_]+/gu;
const BEFORE = 60;
const LINE = 200;

// A line of the text around the first word that was looked for.
function snippet(text, needles, folding) {
  const [first] = places(text, 0, text.length, needles, folding, 1);
  const begin = Math.max(0, (first?.[0] ?? 0) - BEFORE);
  const blank = begin ? text.indexOf(" ", begin) + 1 : 0;
  const start = blank && blank < begin + BEFORE ? blank : begin;
  return marked(text, start, Math.min(text.length, start + LINE), needles, folding);
}

// A piece of a text, with the words marked that were looked for.
function marked(text, begin, end, needles, folding) {
  const shown = document.createDocumentFragment();
  let at = begin;
  for (const [first, last] of places(text, begin, end, needles, folding)) {
    if (first >= at) {
      shown.append(text.slice(at, first), made("mark", "", text.slice(first, last)));
      at = last;
    }
  }
  shown.append(text.slice(at, end));
  return shown;
}

function places(text, begin, end, needles, folding, most = Infinity) {
  const found = [];
  for (const raw of text.slice(begin, end).matchAll(RAW_WORD)) {
    for (const [first, last] of placesIn(raw[0], needles, folding)) {
      found.push([begin + raw.index + first, begin + raw.index + last]);
    }
    if (found.length >= most) {
      break;
    }
  }
  return found;
}

function placesIn(raw, needles, folding) {
  const places = [];
  const words = folding.words(raw);
  for (const { words: wanted, begins } of needles) {
    const run = wanted.join("");
    const at = raw.normalize("NFKC").indexOf(run);
    if (standsAlone(run) && at >= 0) {
      places.push([at, at + run.length]);
    } else if (wanted.some((word, index) => words.some((one) => !standsAlone(one) && (
      one === word || (begins && index === wanted.length - 1 && one.startsWith(word))
    )))) {
      places.push([0, raw.length]);
    }
  }
  return places.sort((one, other) => one[0] - other[0]);
}

class Page {
  constructor() {
    this.form = document.querySelector("form.search");
    this.input = this.form.querySelector("input");
    this.results = document.querySelector("#results");
    this.rest = document.querySelector("#rest");
    this.turn = 0;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.input.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.search(), 250);
    });
    this.input.value = new URLSearchParams(location.search).get("q") ?? "";
    if (this.input.value) {
      this.search();
    }
  }

  async search() {
    clearTimeout(this.timer);
    const asked = this.input.value.trim();
    const turn = ++this.turn;
    this.remember(asked);
    this.results.replaceChildren();
    this.rest.hidden = asked !== "";
    if (!asked) {
      document.documentElement.dataset.search = "done";
      return;
    }
    document.documentElement.dataset.search = "busy";
    const told = made("p", "soft", "Looking …");
    told.setAttribute("role", "status");
    const list = made("ol", "letters", "");
    this.results.append(told, list);
    try {
      const letters = await this.letters();
      const clauses = readQuestion(asked, letters.folding);
      const needles = clauses.flat().filter((term) => !term.isWithout && term.words?.length);
      await this.show(turn, told, list, letters, answers(letters, clauses), needles, 0);
    } catch (error) {
      told.textContent = error.message;
    }
    if (turn === this.turn) {
      document.documentElement.dataset.search = "done";
    }
  }

  letters() {
    this.opened ??= borrow("about").then((about) => new Letters(about));
    return this.opened;
  }

  async show(turn, told, list, letters, found, needles, before) {
    let shown = before;
    let isLast = true;
    const lines = [];
    for (;;) {
      const { value: number, done } = await found.next();
      if (turn !== this.turn) {
        return;
      }
      if (done) {
        break;
      }
      const { item, line } = rowOf(number, await letters.row(number), letters, needles);
      list.append(item);
      lines.push(letters.text(number).then((text) => {
        const shownText = snippet(text[5].replace(/\s+/g, " ").trim(), needles, letters.folding);
        line.append(...(line.textContent ? [" · "] : []), shownText);
      }));
      shown += 1;
      if (shown - before === SHOWN) {
        isLast = false;
        break;
      }
    }
    await Promise.all(lines);
    told.textContent = isLast
      ? `${shown === 1 ? "1 letter" : `${shown} letters`}${shown ? ", the newest first" : ""}`
      : `The ${shown} newest of those that were found`;
    this.more?.remove();
    if (!isLast) {
      this.more = made("button", "", "Show more");
      this.more.type = "button";
      this.more.addEventListener("click", () => this.show(turn, told, list, letters, found, needles, shown));
      this.results.append(this.more);
    }
  }

  remember(asked) {
    try {
      history.replaceState(null, "", asked ? `?q=${encodeURIComponent(asked)}` : location.pathname);
    } catch {
      // Some browsers do not allow that on a disk.
    }
  }
}

if (document.querySelector("form.search")) {
  new Page();
}
