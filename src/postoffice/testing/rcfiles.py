"""Settings of other programs that pull mail, as people have them: with everything that their grammars allow."""

FETCHMAIL = r"""# my mail
set daemon 600
set postmaster "me"
set no bouncemail

defaults proto pop3, timeout 60
    nokeep sslcertck

poll pop.example.org with proto POP3 service 1995:
    user "me@example.org" there with password "a b\\c \x41\66\067" is me here, ssl
    user second has password 'it"s' keep ssl     # and "this" is a comment
poll Label via mail.example.net auth cram-md5 interval 3
    username mine, with pass with, mda "/usr/bin/procmail -d %T", limit 50000
skip old.example.org user me pass secret
poll imap.example.org proto imap user me pass secret
poll last.example.org user joe here is there there pass here mda "formail -f %F" sslcertfile /etc/ca.pem fetchall
"""

MPOP = r"""
# ~/.mpoprc
defaults
tls on
delivery mda "/usr/bin/procmail -d $USER"
tls_trust_file system
received_header off

account free
host pop.free.example
user joe.smith@free.example
passwordeval gpg2 --no-tty -q -d ~/.mpop-password.gpg
  keep

account free2 : free
user joey
password "se cret"
keep off
tls_starttls off
port 9995
delivery maildir /var/mail/new
skipsize 500k

account company
host mail.company.example
user company12345
auth apop
tls off
delivery mda /usr/bin/msmtp --from='%F' -- me
filter if [ "`grep "^X-Spam-Status: Yes"`" ]; then exit 2; else exit 0; fi
account default : free
"""

GETMAIL = """
[retriever]
type = SimplePOP3SSLRetriever
server = pop.example.net
username: me@example.net
password_command = ("pass", "show",
    "my mail")
ssl_version = tlsv1_2
timeout = 60

[destination]
type = MDA_external
path = /usr/bin/procmail
arguments = ("-d", "it's me")

; how
[options]
delete_after = 14
read_all = false
received = false
max_message_size = 100000
[filter-1]
type = Filter_external
path = /usr/bin/spam
"""
