"""Letters of a mailbox file by what stands in them.

    query         the question, read
    extraction    what of a letter is looked for
    folding       both made comparable: case, marks, forms of writing
    places        which folders are looked into
    face          the whole search; snippet: the line that is shown; keeping: what a pull does for it

The index itself is the engine's (`store.embedded.index`); no SQL is here, and no terminal.
"""
