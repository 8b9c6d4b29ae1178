/* The load: many clients of one server in one process, so that the server and never the client is the limit.
 *
 *   load sessions  --port P --connections C --seconds S --accounts N     CAPA USER PASS STAT UIDL QUIT, wait for the close
 *   load pull      ... [--window W]    USER PASS STAT, RETR everything, W asked for ahead, QUIT
 *   load pull-dele ... [--window W]    the same with DELE behind each RETR; each account once
 *   load count     ...                 USER PASS STAT QUIT, each account once: how many letters there are
 *   load list      ...                 USER PASS STAT UIDL LIST QUIT, wait for the close
 *   load greet     ...                 connect, hear the greeting, QUIT, wait for the close
 *   load idle      ...                 USER PASS STAT on all connections, then nothing more until standard input ends
 *   load deliver   ... [--kept K]      EHLO MAIL RCPT DATA, K letters on a connection, each unlike any other
 *                  [--limit L]         L letters in all, however long it takes
 *                  [--auth BASE64]     and before them AUTH PLAIN
 *
 * With --tls 1 all of it is inside TLS from the first octet on, with a full handshake each time. With --shuffle 1 accounts come in
 * an order that --seed makes. With --differ 1 accounts may have different letters. With --awake 1 it does not sleep while it waits:
 * to wake a process costs the one whose reply wakes it (here 5 us, in a virtual machine), and no server wakes a client over a network.
 * Everything goes to 127.0.0.1, to the accounts user0, user1 ... (N of them, from --first on) of one domain. No account is in two sessions at once. What a server sends is read to the last octet:
 * letters are unstuffed, counted and summed, and every session must bring the same sum. The first reply that is not the
 * expected one ends the run with status 1. Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "way.h"

enum { INPUT_OCTETS = 512 * 1024, OUTPUT_OCTETS = 64 * 1024, PATIENCE_MS = 60 * 1000 };
enum mode { SESSIONS, PULL, PULL_DELE, COUNT, LISTING, GREET, IDLE, DELIVER };
enum step { GREETING, CAPA, USER, PASS, STAT, UIDL, LIST, LETTERS, RESTING, EHLO, AUTH, MAIL, RCPT, DATA, CONTENT, QUIT, CLOSING };

static const char *const mode_names[] = {"sessions", "pull", "pull-dele", "count", "list", "greet", "idle", "deliver"};
static const char *const step_names[] = {"the greeting", "CAPA", "USER", "PASS", "STAT", "UIDL", "LIST", "RETR and DELE", "the rest",
                                         "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "the final dot", "QUIT", "the close"};

static struct {
    enum mode mode;
    int port, connections, first, accounts, window, kept, limit, octets, seed, tls, shuffle, differ, awake;
    double seconds;
    const char *domain, *password, *auth, *sender;
} options = {.connections = 1, .accounts = 1, .window = 64, .kept = 1, .octets = 10240, .seconds = 1,
             .domain = "b.example", .password = "bench-secret", .sender = "sender@a.example"};

struct connection {
    struct way way;
    int account, quota;
    enum step step;
    bool in_lines, offers_pipelining, wants_output, is_shaking;
    double began;
    char *input, *output;
    size_t input_length, output_length, output_sent;
    long letters, lines, asked, answered, sent, bodies_left;
    long long told, letter_octets, octets;
    uint64_t letter_sum, sum;
};

static int poller, open_connections, resting;
static double run_began, run_deadline, waited;
static long operations, sessions, counted;
static long long octets;
static uint64_t session_sum;
static long long session_octets;
static double *latencies;
static long latency_count, latency_room;
static int *idle_accounts; /* a ring: accounts are taken in turn */
static long idle_first, idle_last;
static char *body;
static size_t body_length;
static long letters_sent, letters_promised;

static double read_clock(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double now(void) { return read_clock(CLOCK_MONOTONIC); }

static void fail(const char *format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == '"' || *c == '\\') *c = ' ';
    printf("{\"mode\": \"%s\", \"errors\": 1, \"error\": \"%s\"}\n", mode_names[options.mode], text);
    fprintf(stderr, "load: %s\n", text);
    exit(1);
}

static void *room(size_t size) {
    void *place = calloc(1, size);
    if (!place) fail("out of memory");
    return place;
}

/* --- the sum of what was received ------------------------------------------------------------------------------- */

static uint64_t fold(uint64_t a, uint64_t b) {
    __uint128_t product = (__uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Goes line by line, so that it is the same however the octets arrived. */
static uint64_t add_line(uint64_t sum, const char *line, size_t length) {
    uint64_t words[2];
    const uint64_t size = length;
    for (; length >= 16; line += 16, length -= 16) {
        memcpy(words, line, 16);
        sum = fold(sum ^ words[0] ^ 0x9e3779b97f4a7c15u, words[1] ^ 0xe7037ed1a0b428dbu);
    }
    memset(words, 0, sizeof words);
    memcpy(words, line, length);
    return fold(sum ^ words[0] ^ 0x9e3779b97f4a7c15u, words[1] ^ 0xe7037ed1a0b428dbu ^ size << 56);
}

/* --- sending ---------------------------------------------------------------------------------------------------- */

static void watch_output(struct connection *c, bool wanted) {
    if (c->wants_output == wanted) return;
    c->wants_output = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->way.fd, &event);
}

/* The content of a letter is the same body so many times. */
static bool add_body(struct connection *c) {
    if (!c->bodies_left) return false;
    memcpy(c->output + c->output_length, body, body_length);
    c->output_length += body_length;
    if (!--c->bodies_left) {
        memcpy(c->output + c->output_length, ".\r\n", 3);
        c->output_length += 3;
    }
    return true;
}

static void flush(struct connection *c) {
    do {
        while (c->output_sent < c->output_length) {
            ssize_t n = way_send(&c->way, c->output + c->output_sent, c->output_length - c->output_sent);
            if (n < 0 && errno == EAGAIN) return watch_output(c, true);
            if (n < 0) fail("sending in step %s: %s", step_names[c->step], strerror(errno));
            c->output_sent += (size_t)n;
        }
        c->output_sent = c->output_length = 0;
    } while (add_body(c));
    watch_output(c, false);
}

__attribute__((format(printf, 2, 3))) static void say(struct connection *c, const char *format, ...) {
    va_list values;
    va_start(values, format);
    size_t left = OUTPUT_OCTETS - c->output_length;
    int n = vsnprintf(c->output + c->output_length, left, format, values);
    va_end(values);
    if (n < 0 || (size_t)n >= left) fail("the output does not fit");
    c->output_length += (size_t)n;
}

/* --- beginning and ending a session ----------------------------------------------------------------------------- */

static bool may_begin(void) {
    if (options.mode == COUNT || options.mode == PULL_DELE) return sessions + open_connections < options.accounts;
    if (options.mode == IDLE) return sessions + open_connections < options.connections;
    if (options.limit) return letters_promised < options.limit;
    return sessions + open_connections == 0 || now() < run_deadline;
}

static int next_account(void) { return idle_accounts[idle_first++ % options.accounts]; }

/* Letters may come to the same mailbox on several connections; no account is in two sessions. */
static void account_is_idle(int account) {
    if (options.mode != DELIVER) idle_accounts[idle_last++ % options.accounts] = account;
}

static void begin(struct connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1;
    char *input = c->input, *output = c->output;
    memset(c, 0, sizeof *c);
    c->input = input, c->output = output;
    c->account = next_account();
    c->quota = options.limit && options.limit - letters_promised < options.kept ? options.limit - (int)letters_promised : options.kept;
    letters_promised += c->quota;
    c->began = now();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail("connecting to port %d: %s", options.port, strerror(errno));
    if (!way_open(&c->way, fd, options.tls, true)) fail("TLS cannot be had");
    c->is_shaking = c->wants_output = options.tls;
    struct epoll_event event = {.events = EPOLLIN | (options.tls ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    open_connections++;
}

static void note_latency(double seconds) {
    if (latency_count == latency_room) {
        latency_room = latency_room ? latency_room * 2 : 4096;
        latencies = realloc(latencies, (size_t)latency_room * sizeof *latencies);
        if (!latencies) fail("out of memory");
    }
    latencies[latency_count++] = seconds;
}

static void end(struct connection *c) {
    way_close(&c->way);
    open_connections--;
    sessions++;
    account_is_idle(c->account);
    if (options.mode != DELIVER) note_latency(now() - c->began);
    if (options.mode == SESSIONS || options.mode == COUNT || options.mode == LISTING || options.mode == GREET) operations++;
    if (options.mode == PULL || options.mode == PULL_DELE) {
        if (sessions == 1) session_sum = c->sum, session_octets = c->octets;
        if (!options.differ && (c->sum != session_sum || c->octets != session_octets))
            fail("user%d had other letters than the account before: %lld octets, not %lld", c->account, c->octets,
                 session_octets);
    }
    if (may_begin()) begin(c);
}

/* --- POP3 ------------------------------------------------------------------------------------------------------- */

static void ask(struct connection *c, enum step step) {
    c->step = step;
    c->lines = 0;
    switch (step) {
    case USER: say(c, "USER user%d@%s\r\n", c->account, options.domain); break;
    case PASS: say(c, "PASS %s\r\n", options.password); break;
    default: say(c, "%s\r\n", step_names[step]);
    }
}

/* Asks for letters up to the window ahead; half a window at a time, as a client does that counts its outstanding ones. */
static void ask_letters(struct connection *c) {
    long outstanding = c->asked - c->answered;
    c->step = LETTERS;
    if (c->answered == c->letters) return ask(c, QUIT);
    if (outstanding > options.window / 2) return;
    for (; c->asked < c->letters && outstanding < options.window; c->asked++, outstanding++) {
        say(c, "RETR %ld\r\n", c->asked + 1);
        if (options.mode == PULL_DELE) say(c, "DELE %ld\r\n", c->asked + 1);
    }
}

static void after_stat(struct connection *c) {
    switch (options.mode) {
    case SESSIONS:
    case LISTING: return ask(c, UIDL);
    case COUNT: return ask(c, QUIT);
    case IDLE:
        c->step = RESTING;
        resting++, operations++;
        note_latency(now() - c->began);
        return;
    default: return ask_letters(c);
    }
}

static void after_pop3_reply(struct connection *c) {
    switch (c->step) {
    case GREETING: return ask(c, options.mode == SESSIONS ? CAPA : options.mode == GREET ? QUIT : USER);
    case CAPA: return ask(c, USER);
    case USER: return ask(c, PASS);
    case PASS: return ask(c, STAT);
    case STAT: return after_stat(c);
    case UIDL:
    case LIST:
        if (c->lines != c->letters) fail("%s told %ld letters, STAT %ld", step_names[c->step], c->lines, c->letters);
        return ask(c, c->step == UIDL && options.mode == LISTING ? LIST : QUIT);
    case LETTERS: return ask_letters(c);
    default: c->step = CLOSING;
    }
}

static void letter_ends(struct connection *c) {
    if (c->told >= 0 && c->told != c->letter_octets)
        fail("RETR told %lld octets and sent %lld", c->told, c->letter_octets);
    c->octets += c->letter_octets;
    octets += c->letter_octets;
    c->sum += c->letter_sum; /* a sum: the order in which a server shows its letters is its own */
    operations++;
    if (options.mode == PULL) c->answered++;
    else c->lines = 1; /* the reply to DELE comes next */
}

static void pop3_status(struct connection *c, const char *line, size_t length) {
    if (length < 3 || memcmp(line, "+OK", 3)) fail("%s was answered: %.*s", step_names[c->step], (int)length, line);
    if (c->step == LETTERS && c->lines == 1) {
        c->lines = 0, c->answered++;
        return ask_letters(c);
    }
    if (c->step == STAT) {
        c->letters = strtol(line + 3, NULL, 10);
        counted += c->letters;
    }
    if (c->step == LETTERS) {
        char *behind;
        c->told = strtoll(line + 3, &behind, 10);
        if (behind == line + 3 || *behind != ' ') c->told = -1;
        c->letter_octets = 0, c->letter_sum = 0;
    }
    c->in_lines = c->step == CAPA || c->step == UIDL || c->step == LIST || c->step == LETTERS;
    if (!c->in_lines) after_pop3_reply(c);
}

static void pop3_line(struct connection *c, const char *line, size_t length) {
    if (!c->in_lines) return pop3_status(c, line, length);
    if (line[0] == '.') {
        if (length == 3 && line[1] == '\r') {
            c->in_lines = false;
            if (c->step == LETTERS) letter_ends(c);
            return c->step == LETTERS && c->lines == 1 ? (void)0 : after_pop3_reply(c);
        }
        line++, length--;
    }
    if (c->step != LETTERS) {
        c->lines++;
        return;
    }
    c->letter_octets += (long long)length;
    c->letter_sum = add_line(c->letter_sum, line, length);
}

/* --- SMTP ------------------------------------------------------------------------------------------------------- */

static void say_letter(struct connection *c) {
    c->step = CONTENT;
    size_t began = c->output_length;
    say(c, "From: sender@a.example\r\nTo: user%d@%s\r\nSubject: letter %ld\r\nMessage-ID: <%d.%ld@a.example>\r\n\r\n", c->account,
        options.domain, letters_sent, options.seed, letters_sent);
    letters_sent++;
    c->bodies_left = options.octets > (int)body_length + 256 ? options.octets / (long)body_length : 1;
    c->letter_octets = (long long)(c->output_length - began) + (long long)body_length * c->bodies_left;
    add_body(c);
}

static void say_envelope(struct connection *c) {
    c->step = MAIL;
    say(c, "MAIL FROM:<%s>\r\n", options.sender);
    if (c->offers_pipelining) say(c, "RCPT TO:<user%d@%s>\r\nDATA\r\n", c->account, options.domain);
}

static void letter_is_taken(struct connection *c) {
    operations++;
    octets += c->letter_octets;
    note_latency(now() - c->began);
    c->began = now();
    if (++c->sent == c->quota || (!options.limit && now() >= run_deadline)) return ask(c, QUIT);
    c->account = next_account();
    say_envelope(c);
}

static void smtp_line(struct connection *c, const char *line, size_t length) {
    static const char *const expected[] = {[GREETING] = "220", [EHLO] = "250", [AUTH] = "235", [MAIL] = "250", [RCPT] = "250", [DATA] = "354",
                                           [CONTENT] = "250", [QUIT] = "221"};
    if (c->step == CLOSING || length < 5 || memcmp(line, expected[c->step], 3))
        fail("%s was answered: %.*s", step_names[c->step], (int)length, line);
    if (c->step == EHLO && length == 16 && !memcmp(line + 4, "PIPELINING", 10)) c->offers_pipelining = true;
    if (line[3] == '-') return;
    switch (c->step) {
    case GREETING:
        c->step = EHLO;
        return say(c, "EHLO a.example\r\n");
    case EHLO:
        if (!options.auth) return say_envelope(c);
        c->step = AUTH;
        return say(c, "AUTH PLAIN %s\r\n", options.auth);
    case AUTH: return say_envelope(c);
    case MAIL:
        c->step = RCPT;
        if (!c->offers_pipelining) say(c, "RCPT TO:<user%d@%s>\r\n", c->account, options.domain);
        return;
    case RCPT:
        c->step = DATA;
        if (!c->offers_pipelining) say(c, "DATA\r\n");
        return;
    case DATA: return say_letter(c);
    case CONTENT: return letter_is_taken(c);
    default: c->step = CLOSING;
    }
}

static void shuffle_accounts(void) {
    srandom((unsigned)options.seed + 1);
    for (int i = options.accounts - 1; i > 0; i--) {
        int j = (int)(random() % (i + 1)), account = idle_accounts[i];
        idle_accounts[i] = idle_accounts[j];
        idle_accounts[j] = account;
    }
}

static void make_body(void) {
    size_t header = 200; /* about what say_letter writes above it */
    size_t most = options.octets < OUTPUT_OCTETS - 4096 ? (size_t)options.octets : OUTPUT_OCTETS - 4096;
    body = room(most + 256);
    for (long line = 0; body_length + header < most; line++)
        body_length += (size_t)sprintf(body + body_length, "%sline %07ld of a letter that is as dull as any other and goes its way\r\n",
                                       line % 97 == 42 ? ".." : "", line);
}

/* --- the loop --------------------------------------------------------------------------------------------------- */

/* False when there is no more to be had for now, or the connection has ended. */
static bool receive(struct connection *c) {
    ssize_t n = way_receive(&c->way, c->input + c->input_length, INPUT_OCTETS - c->input_length);
    if (n < 0 && errno == EAGAIN) return false;
    if (c->step == CLOSING && (n == 0 || (n < 0 && errno == ECONNRESET))) return end(c), false;
    if (n == 0) fail("the server closed in step %s", step_names[c->step]);
    if (n < 0) fail("receiving in step %s: %s", step_names[c->step], strerror(errno));
    c->input_length += (size_t)n;
    char *line = c->input, *stop = c->input + c->input_length, *feed;
    while ((feed = memchr(line, '\n', (size_t)(stop - line)))) {
        size_t length = (size_t)(feed + 1 - line);
        if (options.mode == DELIVER) smtp_line(c, line, length);
        else pop3_line(c, line, length);
        line = feed + 1;
    }
    c->input_length = (size_t)(stop - line);
    if (c->input_length == INPUT_OCTETS) fail("a line longer than %d octets", INPUT_OCTETS);
    memmove(c->input, line, c->input_length);
    if (c->output_length && !c->wants_output) flush(c);
    return c->way.tls; /* which may hold octets that the socket has no more */
}

/* True when the handshake is over. */
static bool shake(struct connection *c) {
    bool wants_output;
    ssize_t n = way_shake(&c->way, &wants_output);
    if (n == 0 || (n < 0 && errno != EAGAIN)) fail("the TLS handshake failed");
    watch_output(c, wants_output);
    c->is_shaking = n != 1;
    return !c->is_shaking;
}

/* All are logged in: say so, and keep still until whoever measures has seen enough. */
static void rest(void) {
    char octet;
    printf("{\"resting\": %d, \"seconds\": %.6f}\n", resting, now() - run_began);
    fflush(stdout);
    while (read(STDIN_FILENO, &octet, 1) > 0) continue;
}

/* As many events as there are, after at most PATIENCE_MS. */
static int wait_for(struct epoll_event *events, int most) {
    if (!options.awake) return epoll_wait(poller, events, most, PATIENCE_MS);
    int n = epoll_wait(poller, events, most, 0);
    if (n) return n;
    double began = now(), spent = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    while (!(n = epoll_wait(poller, events, most, 0)) && now() - began < PATIENCE_MS / 1e3) continue;
    waited += read_clock(CLOCK_PROCESS_CPUTIME_ID) - spent;
    return n;
}

static void run(void) {
    struct epoll_event events[64];
    struct connection *all = room((size_t)options.connections * sizeof *all);
    poller = epoll_create1(EPOLL_CLOEXEC);
    run_began = now();
    run_deadline = run_began + options.seconds;
    for (int i = 0; i < options.connections; i++) {
        all[i].input = room(INPUT_OCTETS);
        all[i].output = room(OUTPUT_OCTETS);
    }
    int begun = 0, at_once = options.mode == IDLE ? 64 : options.connections;
    while (begun < options.connections && begun < at_once && may_begin()) begin(&all[begun++]);
    while (open_connections) {
        int n = wait_for(events, 64);
        if (n == 0) fail("%d connections had no answer for %d s", open_connections, PATIENCE_MS / 1000);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->is_shaking && !shake(c)) continue;
            if (events[i].events & EPOLLOUT) flush(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                while (receive(c)) continue;
        }
        while (options.mode == IDLE && begun < options.connections && begun - resting < at_once) begin(&all[begun++]);
        if (options.mode == IDLE && resting == options.connections) return rest();
    }
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(void) {
    double seconds = now() - run_began;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6 - waited;
    qsort(latencies, (size_t)latency_count, sizeof *latencies, by_size);
    printf("{\"mode\": \"%s\", \"operations\": %ld, \"sessions\": %ld, \"seconds\": %.6f, \"octets\": %lld, "
           "\"counted\": %ld, \"session_octets\": %lld, \"checksum\": \"%016llx\", \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"generator_cpu_seconds\": %.6f, \"errors\": 0}\n",
           mode_names[options.mode], operations, sessions, seconds, octets, counted, session_octets,
           (unsigned long long)session_sum, latency_count ? latencies[latency_count / 2] * 1e3 : 0,
           latency_count ? latencies[latency_count * 99 / 100] * 1e3 : 0, cpu);
}

static void usage(void) {
    fprintf(stderr, "usage: load sessions|pull|pull-dele|count|list|greet|idle|deliver --port P [--connections C] [--accounts N]\n"
                    "    [--first F] [--seconds S] [--window W] [--kept K] [--octets O] [--seed N] [--domain D] [--password P]\n"
                    "    [--tls 1] [--shuffle 1] [--differ 1] [--awake 1] [--limit L] [--auth BASE64] [--sender S]\n");
    exit(64);
}

static void read_option(const char *name, const char *value) {
    struct {
        const char *name;
        int *place;
    } numbers[] = {{"--port", &options.port},     {"--connections", &options.connections}, {"--accounts", &options.accounts},
                   {"--first", &options.first},
                   {"--window", &options.window}, {"--kept", &options.kept},               {"--octets", &options.octets},
                   {"--seed", &options.seed},     {"--limit", &options.limit},             {"--tls", &options.tls},
                   {"--shuffle", &options.shuffle}, {"--differ", &options.differ},         {"--awake", &options.awake}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(name, numbers[i].name)) {
            *numbers[i].place = atoi(value);
            return;
        }
    if (!strcmp(name, "--seconds")) options.seconds = atof(value);
    else if (!strcmp(name, "--domain")) options.domain = value;
    else if (!strcmp(name, "--password")) options.password = value;
    else if (!strcmp(name, "--auth")) options.auth = value;
    else if (!strcmp(name, "--sender")) options.sender = value;
    else usage();
}

int main(int count, char **words) {
    int mode = 0;
    if (count < 2) usage();
    while (mode <= DELIVER && strcmp(words[1], mode_names[mode])) mode++;
    if (mode > DELIVER || count % 2) usage();
    options.mode = (enum mode)mode;
    for (int i = 2; i < count; i += 2) read_option(words[i], words[i + 1]);
    if (options.port < 1 || options.connections < 1 || options.window < 1 || options.kept < 1) usage();
    if (options.tls && !way_use_tls(NULL, NULL)) fail("this program was compiled without TLS");
    if (options.mode != DELIVER && options.accounts < options.connections) fail("%d connections need as many accounts", options.connections);
    if (options.window > 1024) options.window = 1024;
    idle_accounts = room((size_t)options.accounts * sizeof *idle_accounts);
    for (int i = 0; i < options.accounts; i++) idle_accounts[i] = options.first + i;
    idle_last = options.accounts;
    if (options.shuffle) shuffle_accounts();
    make_body();
    run();
    report();
    return 0;
}
