"""Who may open a mailbox file that is encrypted, and for how long.

    slots         the key, wrapped once for each way in; recovery: the way in that lies on paper
    beside        the file that holds the slots; recognizing: whether there are any, and where
    changing      lock, give other ways in, take the lock off; transcribing: the file that is made for that
    finding       how a command comes to the key; asking: what it said about passphrases
    holding       keys that are unlocked for a while; agent: the process that has them

It knows that `database` encrypts by a key and nothing of how, no letter and no terminal. What lies in a pack of a
locked file, `home.packing` says, which knows slots as this knows packs: keys may come back from one.
"""
