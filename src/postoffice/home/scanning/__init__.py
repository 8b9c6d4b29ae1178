"""What becomes of a person's letters by what a scanner says: they are seen, or lie where nobody is shown them.

policy    how a person wants it
inspector a scanner, and the policy, asked about letters that come
again     about letters that are here: held ones, and all when signatures change
withheld  what lies in quarantine or is held, and letting it out
"""
