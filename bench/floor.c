/* The floor: servers that do nothing, as cheaply as a program can. What they cost, nobody can go below.
 *
 *   floor pop3 LETTERS FILE [CERTIFICATE KEY]
 *                              any user, any password; a mailbox of the first LETTERS letters in FILE, each in wire form
 *                              with its final dot line; DELE and QUIT are answered and change nothing
 *   floor smtp                 takes every letter and throws it away
 *
 * With a certificate and its key all of it is inside TLS.
 *
 * One process, one thread, epoll. Listens on 127.0.0.1 at a port of the system's choice and prints `ready PORT`.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "way.h"

enum { INPUT_OCTETS = 64 * 1024, FULL = 256 * 1024 };

struct letter {
    const char *wire;
    size_t wire_length, octets;
};

struct connection {
    struct way way;
    bool in_content, closing, wants_output, is_shaking;
    size_t input_length, output_length, output_sent;
    char input[INPUT_OCTETS], output[]; /* has room for the largest reply behind what makes it full */
};

static int poller;
static bool is_smtp, is_tls;
static struct letter *letters;
static size_t letter_count;
static char stat_reply[64], *uidl_reply, *list_reply;
static size_t uidl_length, list_length, largest_reply = 64;

static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void put(struct connection *c, const char *octets, size_t length) {
    memcpy(c->output + c->output_length, octets, length);
    c->output_length += length;
}

static void put_text(struct connection *c, const char *text) { put(c, text, strlen(text)); }

/* True if all is gone. */
static bool flush(struct connection *c) {
    while (c->output_sent < c->output_length) {
        ssize_t n = way_send(&c->way, c->output + c->output_sent, c->output_length - c->output_sent);
        if (n < 0) break;
        c->output_sent += (size_t)n;
    }
    bool all = c->output_sent == c->output_length;
    if (all) c->output_sent = c->output_length = 0;
    if (all == c->wants_output) {
        c->wants_output = !all;
        struct epoll_event event = {.events = all ? EPOLLIN : EPOLLOUT, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_MOD, c->way.fd, &event);
    }
    return all;
}

/* LIST and UIDL with the number of a letter. */
static void answer_one(struct connection *c, bool is_list, size_t number) {
    if (number < 1 || number > letter_count) return put_text(c, "-ERR no such letter\r\n");
    const char *form = is_list ? "+OK %zu %zu\r\n" : "+OK %zu %016zx\r\n";
    size_t value = is_list ? letters[number - 1].octets : number * 2654435761u;
    c->output_length += (size_t)sprintf(c->output + c->output_length, form, number, value);
}

static void answer_pop3(struct connection *c, const char *line) {
    bool is_list = !memcmp(line, "LIST", 4);
    if ((is_list || !memcmp(line, "UIDL", 4)) && line[4] == ' ') return answer_one(c, is_list, strtoul(line + 5, NULL, 10));
    if (!memcmp(line, "RETR", 4)) {
        size_t number = strtoul(line + 4, NULL, 10);
        if (number < 1 || number > letter_count) return put_text(c, "-ERR no such letter\r\n");
        const struct letter *letter = &letters[number - 1];
        c->output_length += (size_t)sprintf(c->output + c->output_length, "+OK %zu octets\r\n", letter->octets);
        return put(c, letter->wire, letter->wire_length);
    }
    if (!memcmp(line, "STAT", 4)) return put_text(c, stat_reply);
    if (!memcmp(line, "UIDL", 4)) return put(c, uidl_reply, uidl_length);
    if (is_list) return put(c, list_reply, list_length);
    if (!memcmp(line, "CAPA", 4)) return put_text(c, "+OK\r\nUSER\r\nUIDL\r\nPIPELINING\r\n.\r\n");
    c->closing = !memcmp(line, "QUIT", 4);
    put_text(c, "+OK\r\n");
}

static void answer_smtp(struct connection *c, const char *line) {
    if (!memcmp(line, "EHLO", 4)) return put_text(c, "250-floor.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
    c->in_content = !memcmp(line, "DATA", 4);
    if (c->in_content) return put_text(c, "354 go on\r\n");
    c->closing = !memcmp(line, "QUIT", 4);
    put_text(c, c->closing ? "221 bye\r\n" : "250 ok\r\n");
}

/* Takes content up to the final dot line; gives what was taken. Keeps back what could begin the end. */
static size_t skip_content(struct connection *c, const char *content, size_t length) {
    const char *end = memmem(content, length, "\r\n.\r\n", 5);
    if (!end) return length > 4 ? length - 4 : 0;
    c->in_content = false;
    put_text(c, "250 thrown away\r\n");
    return (size_t)(end + 5 - content);
}

/* Answers what was received, as far as the output has room. */
static void answer(struct connection *c) {
    size_t used = 0;
    while (c->output_length < FULL && !c->closing) {
        const char *line = c->input + used, *feed;
        if (c->in_content) {
            used += skip_content(c, line, c->input_length - used);
            if (c->in_content) break;
            continue;
        }
        feed = memchr(line, '\n', c->input_length - used);
        if (!feed || feed - line < 4) break;
        if (is_smtp) answer_smtp(c, line);
        else answer_pop3(c, line);
        used += (size_t)(feed + 1 - line);
    }
    c->input_length -= used;
    memmove(c->input, c->input + used, c->input_length);
}

static void finish(struct connection *c) {
    way_close(&c->way);
    free(c);
}

static void greet(struct connection *c) {
    put_text(c, is_smtp ? "220 floor.example\r\n" : "+OK\r\n");
    flush(c);
}

/* False when the connection is gone or has nothing more for now. */
static bool serve(struct connection *c) {
    bool wants_output;
    if (c->is_shaking) {
        ssize_t n = way_shake(&c->way, &wants_output);
        if (n != 1 && !(n < 0 && errno == EAGAIN)) return finish(c), false;
        if (n != 1) return false;
        c->is_shaking = false;
        greet(c);
    }
    if (c->wants_output) {
        if (!flush(c)) return false;
    } else {
        ssize_t n = way_receive(&c->way, c->input + c->input_length, INPUT_OCTETS - c->input_length);
        if (n < 0 && errno == EAGAIN) return false;
        if (n <= 0) return finish(c), false;
        c->input_length += (size_t)n;
    }
    do answer(c);
    while (c->output_length && flush(c) && c->input_length && !c->closing);
    if (c->closing && !c->output_length) return finish(c), false;
    return is_tls && !c->wants_output; /* TLS may hold octets that the socket has no more */
}

static void welcome(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), yes = 1;
    if (fd < 0) return;
    struct connection *c = malloc(sizeof *c + FULL + largest_reply);
    if (!c) die("memory");
    if (!way_open(&c->way, fd, is_tls, false)) die("TLS");
    c->is_shaking = is_tls;
    c->in_content = c->closing = c->wants_output = false;
    c->input_length = c->output_length = c->output_sent = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    if (!is_tls) greet(c);
}

static char *read_all(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    fseek(file, 0, SEEK_END);
    *length = (size_t)ftell(file);
    rewind(file);
    char *octets = malloc(*length + 1);
    if (!octets || fread(octets, 1, *length, file) != *length) die(path);
    fclose(file);
    return octets;
}

static void read_letters(size_t count, const char *path) {
    size_t length, octets = 0;
    char *wire = read_all(path, &length), *stop = wire + length, *end;
    letters = calloc(count + 1, sizeof *letters);
    uidl_reply = malloc(count * 32 + 32);
    list_reply = malloc(count * 48 + 32);
    if (!letters || !uidl_reply || !list_reply) die("memory");
    uidl_length = (size_t)sprintf(uidl_reply, "+OK\r\n");
    list_length = (size_t)sprintf(list_reply, "+OK\r\n");
    while (letter_count < count && (end = memmem(wire, (size_t)(stop - wire), "\r\n.\r\n", 5))) {
        struct letter *letter = &letters[letter_count++];
        letter->wire = wire;
        letter->wire_length = (size_t)(end + 5 - wire);
        if (letter->wire_length + 64 > largest_reply) largest_reply = letter->wire_length + 64;
        letter->octets = letter->wire_length - 3 - (*wire == '.');
        for (char *dot = wire; (dot = memmem(dot, (size_t)(end - dot), "\r\n.", 3)); dot += 3) letter->octets--;
        octets += letter->octets;
        uidl_length += (size_t)sprintf(uidl_reply + uidl_length, "%zu %016zx\r\n", letter_count, letter_count * 2654435761u);
        list_length += (size_t)sprintf(list_reply + list_length, "%zu %zu\r\n", letter_count, letter->octets);
        wire = end + 5;
    }
    if (letter_count < count) die("the file has fewer letters");
    uidl_length += (size_t)sprintf(uidl_reply + uidl_length, ".\r\n");
    list_length += (size_t)sprintf(list_reply + list_length, ".\r\n");
    if (uidl_length > largest_reply) largest_reply = uidl_length;
    if (list_length > largest_reply) largest_reply = list_length;
    sprintf(stat_reply, "+OK %zu %zu\r\n", letter_count, octets);
}

int main(int count, char **words) {
    is_smtp = count == 2 && !strcmp(words[1], "smtp");
    is_tls = count == 6;
    if (!is_smtp && ((count != 4 && count != 6) || strcmp(words[1], "pop3"))) {
        fprintf(stderr, "usage: floor pop3 LETTERS FILE [CERTIFICATE KEY] | floor smtp\n");
        return 64;
    }
    if (is_tls && !way_use_tls(words[4], words[5])) die("TLS cannot be had");
    if (!is_smtp) read_letters(strtoul(words[2], NULL, 10), words[3]);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1024)) die("listening");
    getsockname(listener, (struct sockaddr *)&address, &size);
    poller = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[64];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(poller, events, 64, -1);
        for (int i = 0; i < n; i++) {
            if (!events[i].data.ptr) welcome(listener);
            else while (serve(events[i].data.ptr)) continue;
        }
    }
}
