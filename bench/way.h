/* The way that octets take between a program of the benchmarks and the other side: a socket, or TLS over it.
 *
 * Both functions are as recv(2) and send(2) on a socket that does not block: what was moved, 0 at the end, or -1 with
 * EAGAIN in errno. TLS is there if the program was compiled with -DWITH_TLS (OpenSSL); else asking for it is an error.
 */
#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>
static SSL_CTX *way_context;
#else
typedef void SSL;
#endif

struct way {
    int fd;
    SSL *tls;
};

/* TLS for every way that is opened from now on: a client's without a certificate, which checks nothing and resumes
 * nothing, or that of a server. False: it cannot be had. */
static bool way_use_tls(const char *certificate, const char *key) {
#ifdef WITH_TLS
    way_context = SSL_CTX_new(certificate ? TLS_server_method() : TLS_client_method());
    if (!way_context) return false;
    SSL_CTX_set_mode(way_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(way_context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(way_context, SSL_VERIFY_NONE, NULL);
    if (!certificate) return true;
    return SSL_CTX_use_certificate_chain_file(way_context, certificate) == 1 &&
           SSL_CTX_use_PrivateKey_file(way_context, key, SSL_FILETYPE_PEM) == 1;
#else
    (void)certificate, (void)key;
    return false;
#endif
}

static bool way_open(struct way *way, int fd, bool tls, bool as_client) {
    way->fd = fd;
    way->tls = NULL;
#ifdef WITH_TLS
    if (!tls) return true;
    way->tls = SSL_new(way_context);
    if (!way->tls || SSL_set_fd(way->tls, fd) != 1) return false;
    if (as_client) SSL_set_connect_state(way->tls);
    else SSL_set_accept_state(way->tls);
    return true;
#else
    (void)as_client;
    return !tls;
#endif
}

#ifdef WITH_TLS
static ssize_t way_result(struct way *way, int result) {
    if (result > 0) return result;
    switch (SSL_get_error(way->tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: errno = EAGAIN; return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: errno = ECONNRESET; return -1;
    }
}
#endif

/* The handshake: 1 when it is over, else as a send; `*wants_output` says what to wait for. */
static ssize_t way_shake(struct way *way, bool *wants_output) {
    *wants_output = false;
#ifdef WITH_TLS
    ERR_clear_error();
    int result = SSL_do_handshake(way->tls);
    *wants_output = result != 1 && SSL_get_error(way->tls, result) == SSL_ERROR_WANT_WRITE;
    return way_result(way, result);
#else
    (void)way;
    return 1;
#endif
}

static ssize_t way_receive(struct way *way, void *place, size_t length) {
#ifdef WITH_TLS
    if (way->tls) {
        ERR_clear_error();
        return way_result(way, SSL_read(way->tls, place, (int)length));
    }
#endif
    return recv(way->fd, place, length, 0);
}

static ssize_t way_send(struct way *way, const void *octets, size_t length) {
#ifdef WITH_TLS
    if (way->tls) {
        ERR_clear_error();
        return way_result(way, SSL_write(way->tls, octets, (int)(length > 16384 ? 16384 : length)));
    }
#endif
    return send(way->fd, octets, length, MSG_NOSIGNAL);
}

static void way_close(struct way *way) {
#ifdef WITH_TLS
    if (way->tls) {
        SSL_shutdown(way->tls); /* says farewell and waits for none */
        SSL_free(way->tls);
    }
    ERR_clear_error();
#endif
    close(way->fd);
    way->tls = NULL;
    way->fd = -1;
}
