/* The load: many clients of one server in one process, so that the server and never the client is the limit.
 *
 *   load sessions  --port P --connections C --seconds S --accounts N     CAPA USER PASS STAT UIDL QUIT, wait for the close
 *   load pull      ... [--window W]    USER PASS STAT, RETR everything, W asked for ahead, QUIT
 *   load pull-dele ... [--window W]    the same with DELE behind each RETR; each account once
 *   load count     ...                 USER PASS STAT QUIT, each account once: how many letters there are
 *   load deliver   ... [--kept K]      EHLO MAIL RCPT DATA, K letters on a connection, each unlike any other
 *
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

enum { INPUT_OCTETS = 512 * 1024, OUTPUT_OCTETS = 64 * 1024, PATIENCE_MS = 60 * 1000 };
enum mode { SESSIONS, PULL, PULL_DELE, COUNT, DELIVER };
enum step { GREETING, CAPA, USER, PASS, STAT, UIDL, LETTERS, EHLO, MAIL, RCPT, DATA, CONTENT, QUIT, CLOSING };

static const char *const mode_names[] = {"sessions", "pull", "pull-dele", "count", "deliver"};
static const char *const step_names[] = {"the greeting", "CAPA", "USER", "PASS", "STAT", "UIDL", "RETR and DELE", "EHLO",
                                         "MAIL", "RCPT", "DATA", "the final dot", "QUIT", "the close"};

static struct {
    enum mode mode;
    int port, connections, first, accounts, window, kept, octets, seed;
    double seconds;
    const char *domain, *password;
} options = {.connections = 1, .accounts = 1, .window = 64, .kept = 1, .octets = 10240, .seconds = 1,
             .domain = "b.example", .password = "bench-secret"};

struct connection {
    int fd, account;
    enum step step;
    bool in_lines, offers_pipelining, wants_output;
    double began;
    char *input, *output;
    size_t input_length, output_length, output_sent;
    long letters, lines, asked, answered, sent;
    long long told, letter_octets, octets;
    uint64_t letter_sum, sum;
};

static int poller, open_connections;
static double run_began, run_deadline;
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
static long letters_sent;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

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
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

static void flush(struct connection *c) {
    while (c->output_sent < c->output_length) {
        ssize_t n = send(c->fd, c->output + c->output_sent, c->output_length - c->output_sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) return watch_output(c, true);
        if (n < 0) fail("sending in step %s: %s", step_names[c->step], strerror(errno));
        c->output_sent += (size_t)n;
    }
    c->output_sent = c->output_length = 0;
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
    return sessions + open_connections == 0 || now() < run_deadline;
}

static void begin(struct connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int yes = 1;
    char *input = c->input, *output = c->output;
    memset(c, 0, sizeof *c);
    c->input = input, c->output = output;
    c->account = idle_accounts[idle_first++ % options.accounts];
    c->began = now();
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fail("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
        fail("connecting to port %d: %s", options.port, strerror(errno));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
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
    close(c->fd);
    c->fd = -1;
    open_connections--;
    sessions++;
    idle_accounts[idle_last++ % options.accounts] = c->account;
    if (options.mode != DELIVER) note_latency(now() - c->began);
    if (options.mode == SESSIONS || options.mode == COUNT) operations++;
    if (options.mode == PULL || options.mode == PULL_DELE) {
        if (sessions == 1) session_sum = c->sum, session_octets = c->octets;
        if (c->sum != session_sum || c->octets != session_octets)
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

static void after_pop3_reply(struct connection *c) {
    switch (c->step) {
    case GREETING: return ask(c, options.mode == SESSIONS ? CAPA : USER);
    case CAPA: return ask(c, USER);
    case USER: return ask(c, PASS);
    case PASS: return ask(c, STAT);
    case STAT: return options.mode == SESSIONS ? ask(c, UIDL) : options.mode == COUNT ? ask(c, QUIT) : ask_letters(c);
    case UIDL:
        if (c->lines != c->letters) fail("UIDL told %ld letters, STAT %ld", c->lines, c->letters);
        return ask(c, QUIT);
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
    c->in_lines = c->step == CAPA || c->step == UIDL || c->step == LETTERS;
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
    say(c, "From: sender@a.example\r\nTo: user%d@%s\r\nSubject: letter %ld\r\nMessage-ID: <%d.%ld@a.example>\r\n\r\n", c->account,
        options.domain, letters_sent, options.seed, letters_sent);
    letters_sent++;
    memcpy(c->output + c->output_length, body, body_length);
    c->output_length += body_length;
    c->letter_octets = (long long)c->output_length - 3;
}

static void say_envelope(struct connection *c) {
    c->step = MAIL;
    say(c, "MAIL FROM:<sender@a.example>\r\n");
    if (c->offers_pipelining) say(c, "RCPT TO:<user%d@%s>\r\nDATA\r\n", c->account, options.domain);
}

static void letter_is_taken(struct connection *c) {
    operations++;
    octets += c->letter_octets;
    note_latency(now() - c->began);
    c->began = now();
    if (++c->sent == options.kept || now() >= run_deadline) return ask(c, QUIT);
    idle_accounts[idle_last++ % options.accounts] = c->account;
    c->account = idle_accounts[idle_first++ % options.accounts];
    say_envelope(c);
}

static void smtp_line(struct connection *c, const char *line, size_t length) {
    static const char *const expected[] = {[GREETING] = "220", [EHLO] = "250", [MAIL] = "250", [RCPT] = "250", [DATA] = "354",
                                           [CONTENT] = "250", [QUIT] = "221"};
    if (c->step == CLOSING || length < 5 || memcmp(line, expected[c->step], 3))
        fail("%s was answered: %.*s", step_names[c->step], (int)length, line);
    if (c->step == EHLO && length == 16 && !memcmp(line + 4, "PIPELINING", 10)) c->offers_pipelining = true;
    if (line[3] == '-') return;
    switch (c->step) {
    case GREETING:
        c->step = EHLO;
        return say(c, "EHLO a.example\r\n");
    case EHLO: return say_envelope(c);
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

static void make_body(void) {
    size_t header = 200; /* about what say_letter writes above it */
    body = room((size_t)options.octets + 256);
    for (long line = 0; body_length + header < (size_t)options.octets; line++)
        body_length += (size_t)sprintf(body + body_length, "%sline %07ld of a letter that is as dull as any other and goes its way\r\n",
                                       line % 97 == 42 ? ".." : "", line);
    body_length += (size_t)sprintf(body + body_length, ".\r\n");
    if (body_length > OUTPUT_OCTETS - 1024) fail("a letter of %d octets is too large for this generator", options.octets);
}

/* --- the loop --------------------------------------------------------------------------------------------------- */

static void receive(struct connection *c) {
    ssize_t n = recv(c->fd, c->input + c->input_length, INPUT_OCTETS - c->input_length, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (c->step == CLOSING && (n == 0 || (n < 0 && errno == ECONNRESET))) return end(c);
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
        if (may_begin()) begin(&all[i]);
    }
    while (open_connections) {
        int n = epoll_wait(poller, events, 64, PATIENCE_MS);
        if (n == 0) fail("%d connections had no answer for %d s", open_connections, PATIENCE_MS / 1000);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) flush(c);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
        }
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
                 (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    qsort(latencies, (size_t)latency_count, sizeof *latencies, by_size);
    printf("{\"mode\": \"%s\", \"operations\": %ld, \"sessions\": %ld, \"seconds\": %.6f, \"octets\": %lld, "
           "\"counted\": %ld, \"session_octets\": %lld, \"checksum\": \"%016llx\", \"p50_ms\": %.3f, \"p99_ms\": %.3f, "
           "\"generator_cpu_seconds\": %.6f, \"errors\": 0}\n",
           mode_names[options.mode], operations, sessions, seconds, octets, counted, session_octets,
           (unsigned long long)session_sum, latency_count ? latencies[latency_count / 2] * 1e3 : 0,
           latency_count ? latencies[latency_count * 99 / 100] * 1e3 : 0, cpu);
}

static void usage(void) {
    fprintf(stderr, "usage: load sessions|pull|pull-dele|count|deliver --port P [--connections C] [--accounts N]\n"
                    "    [--first F] [--seconds S] [--window W] [--kept K] [--octets O] [--seed N] [--domain D] [--password P]\n");
    exit(64);
}

static void read_option(const char *name, const char *value) {
    struct {
        const char *name;
        int *place;
    } numbers[] = {{"--port", &options.port},     {"--connections", &options.connections}, {"--accounts", &options.accounts},
                   {"--first", &options.first},
                   {"--window", &options.window}, {"--kept", &options.kept},               {"--octets", &options.octets},
                   {"--seed", &options.seed}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(name, numbers[i].name)) {
            *numbers[i].place = atoi(value);
            return;
        }
    if (!strcmp(name, "--seconds")) options.seconds = atof(value);
    else if (!strcmp(name, "--domain")) options.domain = value;
    else if (!strcmp(name, "--password")) options.password = value;
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
    if (options.accounts < options.connections) fail("%d connections need as many accounts", options.connections);
    if (options.window > 1024) options.window = 1024;
    idle_accounts = room((size_t)options.accounts * sizeof *idle_accounts);
    for (int i = 0; i < options.accounts; i++) idle_accounts[i] = options.first + i;
    idle_last = options.accounts;
    make_body();
    run();
    report();
    return 0;
}
