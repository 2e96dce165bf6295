/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors and UNIX sockets. All fds made here are close-on-exec. */
#ifndef LANYARD_BASE_FD_H
#define LANYARD_BASE_FD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Closes *fd if it is >= 0 and makes it -1. */
void fd_close(int *fd);

/* Longest path of a UNIX socket, without its NUL (sockaddr_un). */
#define FD_UNIX_PATH_MAX 107

/* 0, or ERR_REQUEST with the path, its length and the limit. */
int fd_unix_path_check(const char *path, struct err *e);

/*
 * Listens on a stream socket at path, mode 0600, non-blocking. A socket file that nobody listens
 * on is stale and is replaced; one that answers, or a file that is no socket, is an error that
 * says so (-EADDRINUSE). Returns the fd.
 */
int fd_unix_listen(const char *path, struct err *e);

/*
 * Removes the socket file at path if nobody listens on it (left by a process that was killed).
 * 0: nothing is at path now; -EADDRINUSE: in use, or not a socket; *e says which.
 */
int fd_unix_clear_stale(const char *path, struct err *e);

/* Connects a blocking stream socket to path within timeout_ms. Returns the fd; -ECONNREFUSED,
 * -ENOENT, -ETIMEDOUT among others. */
int fd_unix_connect(const char *path, int timeout_ms, struct err *e);

/* Sends/receives len bytes and n_fds descriptors in one message of a stream socket.
 * fd_recv_fds: at most *n_fds descriptors are taken, any more are closed; *n_fds tells how many
 * came; returns bytes (0 = peer closed), or -errno. Received fds are the caller's. */
ssize_t fd_send_fds(int sock, const void *buf, size_t len, const int *fds, size_t n_fds);
ssize_t fd_recv_fds(int sock, void *buf, size_t len, int *fds, size_t *n_fds);

/* Whole reads and writes through EINTR and short counts. -EPIPE where the end came first. */
int fd_read_full(int fd, void *buf, size_t len);
int fd_write_full(int fd, const void *buf, size_t len);

/* Waits until fd is ready for `events` (POLLIN...) or deadline_ns (CLOCK_MONOTONIC) has come.
 * 0, -ETIMEDOUT or -errno. */
int fd_wait(int fd, short events, uint64_t deadline_ns);

/* Adds 1 to an eventfd / takes its value. An eventfd that is full or empty is no error. */
void fd_event_signal(int fd);
uint64_t fd_event_take(int fd);

/* A whole file (at most max bytes) to a malloc'd, NUL-terminated buffer. *len may be NULL. */
int fd_read_file(const char *path, size_t max, char **out, size_t *len, struct err *e);

#endif
