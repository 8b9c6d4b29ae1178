"""Does a POP3 server, anybody's, do what the RFCs say? A suite of single claims, each with its section.

rows/      claims as transcripts with gaps: `{octets 2}` stands for a fact of the maildrop that is asked
facts      what is known of a maildrop, and how it fills the gaps
dialogue   one conversation: a row is played, a maildrop is surveyed
checks     claims that a single transcript cannot tell: two sessions, capabilities, what comes behind STLS
nasty      letters that servers fail with
post       how letters get into the maildrop: SMTP, LMTP, a Maildir, an mbox
run        all of it in turn, and the verdicts
report     the verdicts for people, programs and browsers

It knows nothing of our own server: the wire is all it uses. Our own tests play the same rows against our door.
"""
