/* SPDX-License-Identifier: Apache-2.0 */
/* Serial lines: see serial.h. */
#include "vmm/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "vmm/pty.h"
#include "vmm/terminal.h"
#include "vmm/uart.h"

#define CHUNK            4096
#define FLUSH_NS         (3 * NS_PER_MS)
#define SCROLLBACK_BYTES (16u << 10)
#define LOG_MAX          (16u << 20) /* then it starts again: a guest cannot fill the disk */

struct serial {
	const char *name, *busy;
	char *socket;
	struct loop *loop;
	struct kvm *kvm;
	uint32_t irq;

	pthread_mutex_t lock; /* over the three below */
	struct uart uart;
	bool irq_level;
	bool rx_stopped; /* the client is not read from until there is room */
	bool tx_due;     /* a line is complete, or much is waiting: no use in waiting for more */

	int wake_fd; /* vCPU: w, main: r */
	/* The rest is the main thread's. */
	struct loop_handler *wake_handler, *listen_handler, *client_handler, *flush_timer;
	struct loop_handler *out_handler; /* of client_out, while that is another one and full */
	int listen_fd, log_fd;
	int client_fd, client_out; /* non-blocking; one and the same, but for a terminal */
	bool client_closes; /* they are closed when it goes; a terminal's and a PTY's are not */
	bool patient;       /* the guest waits for a client that does not read */
	struct pty pty;
	struct terminal terminal;
	void (*escape)(void *arg);
	void *escape_arg;
	uint32_t client_events;
	bool client_eof;  /* it will say no more, and may still listen */
	bool in_line;     /* the client's last byte to the guest was no newline */
	bool skip_line;   /* what comes from the guest is the rest of another client's line */
	bool out_in_line; /* the guest's last byte was no newline */
	uint64_t log_bytes;
	uint8_t *scrollback; /* ring of SCROLLBACK_BYTES, or NULL */
	uint64_t printed;    /* bytes ever put into it */
	char pending[CHUNK]; /* taken from the guest, on its way to the client */
	size_t pending_len, pending_at;
};

/* With the lock held: the interrupt line follows the UART. */
static void serial_irq_update(struct serial *s)
{
	bool level = uart_irq(&s->uart);

	if (level != s->irq_level) {
		s->irq_level = level;
		kvm_irq_line(s->kvm, s->irq, level);
	}
}

void serial_pio(struct serial *s, unsigned reg, uint8_t *data, unsigned count, bool out)
{
	bool wake, due = false;

	pthread_mutex_lock(&s->lock);
	size_t tx_before = uart_tx_count(&s->uart);

	for (unsigned i = 0; i < count; i++) {
		if (out) {
			uart_write(&s->uart, reg, data[i]);
			due |= data[i] == '\n';
		} else {
			data[i] = uart_read(&s->uart, reg);
		}
	}
	serial_irq_update(s);
	due = (due && uart_tx_count(&s->uart) > tx_before) ||
		uart_tx_count(&s->uart) >= UART_FIFO_BYTES / 4;
	wake = (!tx_before && uart_tx_count(&s->uart)) || (due && !s->tx_due);
	s->tx_due |= due;
	if (s->rx_stopped && uart_rx_room(&s->uart) >= UART_FIFO_BYTES / 2) {
		s->rx_stopped = false;
		wake = true;
	}
	pthread_mutex_unlock(&s->lock);
	if (wake)
		fd_event_signal(s->wake_fd);
}

uint32_t serial_rx_count(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	uint32_t n = (uint32_t)uart_rx_count(&s->uart);

	pthread_mutex_unlock(&s->lock);
	return n;
}

uint32_t serial_tx_room(struct serial *s)
{
	pthread_mutex_lock(&s->lock);
	uint32_t n = (uint32_t)uart_tx_room(&s->uart);

	pthread_mutex_unlock(&s->lock);
	return n;
}

static void serial_log(struct serial *s, const char *buf, size_t len)
{
	if (s->log_fd < 0)
		return;
	if (s->log_bytes + len > LOG_MAX && ftruncate(s->log_fd, 0) == 0) {
		static const char note[] = "[lanyard: the log was full and starts again]\n";

		s->log_bytes = sizeof(note) - 1;
		fd_write_full(s->log_fd, note, sizeof(note) - 1);
	}
	if (fd_write_full(s->log_fd, buf, len) == 0)
		s->log_bytes += len;
}

static void serial_remember(struct serial *s, const char *buf, size_t len)
{
	for (size_t i = 0; s->scrollback && i < len; i++)
		s->scrollback[s->printed++ % SCROLLBACK_BYTES] = (uint8_t)buf[i];
}

static void client_ready(void *arg, uint32_t events);

static void client_events(struct serial *s, uint32_t events)
{
	if (s->client_fd >= 0 && !s->client_handler && (events & EPOLLIN)) {
		s->client_handler = loop_add_fd(s->loop, s->client_fd, events, client_ready, s);
		s->client_events = events;
	}
	if (s->client_handler && events != s->client_events &&
		loop_mod_fd(s->loop, s->client_handler, events) == 0)
		s->client_events = events;
}

static uint32_t events_wanted(struct serial *s)
{
	bool full = s->pending_len > s->pending_at;
	uint32_t events = full && s->client_out == s->client_fd ? EPOLLOUT : 0;

	pthread_mutex_lock(&s->lock);
	if (!s->client_eof && !s->rx_stopped)
		events |= EPOLLIN;
	pthread_mutex_unlock(&s->lock);
	return events;
}

static void client_drop(struct serial *s)
{
	if (s->client_fd < 0)
		return;
	loop_del(s->loop, s->client_handler);
	loop_del(s->loop, s->out_handler);
	s->client_handler = s->out_handler = NULL;
	if (s->client_closes)
		close(s->client_fd);
	s->client_fd = s->client_out = -1;
	s->pending_len = s->pending_at = 0;
	pthread_mutex_lock(&s->lock);
	s->rx_stopped = false;
	if (s->in_line && !s->scrollback) {
		uart_rx_push(&s->uart, "\n", 1);
		serial_irq_update(s);
	}
	pthread_mutex_unlock(&s->lock);
	s->in_line = false;
	s->skip_line = s->out_in_line && !s->scrollback;
}

static void out_ready(void *arg, uint32_t events);

/* Has the loop say when a client whose output is not its input takes bytes again. */
static void client_watch_out(struct serial *s, bool full)
{
	if (s->client_out == s->client_fd || full == (s->out_handler != NULL))
		return;
	if (full) {
		s->out_handler = loop_add_fd(s->loop, s->client_out, EPOLLOUT, out_ready, s);
		return;
	}
	loop_del(s->loop, s->out_handler);
	s->out_handler = NULL;
}

/* False: the client cannot take more now. */
static bool client_write(struct serial *s)
{
	while (s->pending_at < s->pending_len) {
		ssize_t n = write(
			s->client_out, s->pending + s->pending_at, s->pending_len - s->pending_at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return false;
		if (n < 0) {
			client_drop(s);
			return true;
		}
		s->pending_at += (size_t)n;
	}
	s->pending_at = s->pending_len = 0;
	return true;
}

/* The rest of a line that an earlier client asked for is not for this one. */
static void pending_skip(struct serial *s)
{
	char *newline = memchr(s->pending, '\n', s->pending_len);

	if (!s->skip_line)
		return;
	if (!newline) {
		s->pending_at = s->pending_len = 0;
		return;
	}
	s->pending_at = (size_t)(newline + 1 - s->pending);
	s->skip_line = false;
}

/* Moves what the guest sent to the log, the scrollback and the client. */
static void serial_drain(struct serial *s)
{
	for (;;) {
		if (s->pending_at < s->pending_len && !client_write(s)) {
			if (s->patient)
				break;
			/* A console's reader that sleeps must not hold up the guest. */
			s->pending_at = s->pending_len = 0;
		}
		pthread_mutex_lock(&s->lock);
		s->pending_len = uart_tx_peek(&s->uart, s->pending, sizeof(s->pending));
		uart_tx_drop(&s->uart, s->pending_len);
		s->tx_due = false;
		serial_irq_update(s);
		pthread_mutex_unlock(&s->lock);
		s->pending_at = 0;
		if (!s->pending_len)
			break;
		serial_log(s, s->pending, s->pending_len);
		serial_remember(s, s->pending, s->pending_len);
		s->out_in_line = s->pending[s->pending_len - 1] != '\n';
		pending_skip(s);
		if (s->client_fd < 0)
			s->pending_len = s->pending_at = 0;
	}
	client_watch_out(s, s->pending_len > s->pending_at);
	client_events(s, events_wanted(s));
}

static void out_ready(void *arg, uint32_t events)
{
	serial_drain(arg);
}

/* Client to guest. */
static void client_read(struct serial *s)
{
	char buf[CHUNK];
	bool end;
	size_t room;
	ssize_t n;

	pthread_mutex_lock(&s->lock);
	room = uart_rx_room(&s->uart);
	if (room <= 1) /* one byte is kept for client_drop's newline */
		s->rx_stopped = true;
	pthread_mutex_unlock(&s->lock);
	if (room <= 1)
		return;
	room -= 1;
	n = read(s->client_fd, buf, room < sizeof(buf) ? room : sizeof(buf));
	if (n == 0)
		s->client_eof = true;
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		client_drop(s);
	if (n > 0) {
		n = (ssize_t)terminal_filter(&s->terminal, buf, (size_t)n, &end);
		if (end)
			s->escape(s->escape_arg);
	}
	if (n <= 0)
		return;
	s->in_line = buf[n - 1] != '\n';
	pthread_mutex_lock(&s->lock);
	uart_rx_push(&s->uart, buf, (size_t)n);
	serial_irq_update(s);
	pthread_mutex_unlock(&s->lock);
}

/* Standard input's other end is closed. What it had said is still there if the guest was not ready
 * for it: it is looked at again when there is room. Output goes on. */
static void input_hup(struct serial *s, uint32_t events)
{
	bool hup = (events & (EPOLLIN | EPOLLHUP)) == EPOLLHUP;

	if (!s->client_eof && !hup)
		return;
	s->client_eof |= s->client_events & EPOLLIN;
	loop_del(s->loop, s->client_handler);
	s->client_handler = NULL;
}

static void client_ready(void *arg, uint32_t events)
{
	struct serial *s = arg;

	if (events & EPOLLIN)
		client_read(s);
	if (s->client_fd >= 0 && s->client_out != s->client_fd) {
		input_hup(s, events);
		serial_drain(s);
		return;
	}
	/* HUP: it is gone altogether; a half-closed client may still wait for its answer. */
	if (s->client_fd >= 0 && (events & (EPOLLHUP | EPOLLERR)) && !(events & EPOLLIN))
		client_drop(s);
	if (s->client_fd >= 0 && s->client_eof && (events & (EPOLLHUP | EPOLLERR)))
		client_drop(s);
	serial_drain(s);
}

/* A client that went away, or said all it will say, makes room for the next. */
static void client_make_room(struct serial *s)
{
	struct pollfd p = { .fd = s->client_fd, .events = POLLIN };

	if (s->client_fd < 0)
		return;
	while (!s->client_eof && serial_rx_count(s) < UART_FIFO_BYTES - CHUNK &&
		poll(&p, 1, 0) == 1 && (p.revents & POLLIN) && s->client_fd >= 0)
		client_read(s);
	if (s->client_fd >= 0 &&
		(s->client_eof || (poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)))))
		client_drop(s);
}

static void client_show_scrollback(struct serial *s)
{
	uint64_t from = s->printed > SCROLLBACK_BYTES ? s->printed - SCROLLBACK_BYTES : 0;

	while (s->scrollback && from < s->printed) {
		uint64_t at = from % SCROLLBACK_BYTES;
		size_t n = SCROLLBACK_BYTES - at;

		if (n > s->printed - from)
			n = s->printed - from;
		/* A fresh socket's buffer holds it all. */
		if (write(s->client_out, s->scrollback + at, n) < 0)
			return;
		from += n;
	}
}

/* From now on `in` and `out` are the client. False: out of memory. */
static bool client_attach(struct serial *s, int in, int out, bool closes)
{
	serial_drain(s); /* what was said to nobody stays so */
	s->client_fd = in;
	s->client_out = out;
	s->client_closes = closes;
	s->client_eof = false;
	s->client_events = EPOLLIN;
	s->client_handler = loop_add_fd(s->loop, in, EPOLLIN, client_ready, s);
	/* A file or /dev/null at standard input has nothing to say. */
	s->client_eof = !s->client_handler && in != out;
	if (!s->client_handler && !s->client_eof) {
		s->client_fd = s->client_out = -1;
		return false;
	}
	client_show_scrollback(s);
	return true;
}

static void client_arrives(void *arg, uint32_t events)
{
	struct serial *s = arg;
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	client_make_room(s);
	if (s->client_fd >= 0) {
		send(fd, s->busy, strlen(s->busy), MSG_NOSIGNAL | MSG_DONTWAIT);
		fd_close(&fd);
	} else if (!client_attach(s, fd, fd, true)) {
		fd_close(&fd);
	}
}

/* Somebody opened the PTY's slave; its end shows as a hang-up. */
static void pty_client(void *arg, uint32_t events)
{
	struct serial *s = arg;
	bool anew;

	if (!pty_opened(&s->pty, &anew))
		return;
	if (anew)
		client_drop(s);
	if (s->client_fd < 0)
		client_attach(s, s->pty.master, s->pty.master, false);
}

/* A guest that writes byte by byte: its line is passed on when it is complete, or after a while. */
static void serial_woken(void *arg, uint32_t events)
{
	struct serial *s = arg;

	fd_event_take(s->wake_fd);
	pthread_mutex_lock(&s->lock);
	bool due = s->tx_due || !uart_tx_count(&s->uart);

	pthread_mutex_unlock(&s->lock);
	if (due)
		serial_drain(s);
	else
		loop_set_timer(s->flush_timer, FLUSH_NS, 0);
}

static void serial_flush(void *arg, uint32_t events)
{
	serial_drain(arg);
}

static int serial_open_socket(struct serial *s, const char *path, struct err *e)
{
	s->listen_fd = fd_unix_listen(path, e);
	if (s->listen_fd < 0)
		return err_prefix(e, "%s", s->name);
	s->socket = strdup(path);
	s->listen_handler = loop_add_fd(s->loop, s->listen_fd, EPOLLIN, client_arrives, s);
	return s->socket && s->listen_handler ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int serial_open_pty(struct serial *s, const char *link, struct err *e)
{
	int err = pty_open(&s->pty, link, e);

	if (err)
		return err;
	s->listen_handler = loop_add_fd(s->loop, s->pty.watch, EPOLLIN, pty_client, s);
	return s->listen_handler ? 0 : err_set(e, -ENOMEM, "out of memory");
}

static int serial_open_stdio(struct serial *s, struct err *e)
{
	int err = terminal_open(&s->terminal, e);

	if (err)
		return err;
	s->patient = true;
	return client_attach(s, s->terminal.in, s->terminal.out, false)
		? 0
		: err_set(e, -ENOMEM, "out of memory");
}

static int serial_open(struct serial *s, const struct serial_setup *setup, struct err *e)
{
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake_fd < 0)
		return err_set(e, -errno, "eventfd: %s", err_str(errno));
	s->wake_handler = loop_add_fd(s->loop, s->wake_fd, EPOLLIN, serial_woken, s);
	s->flush_timer = loop_add_timer(s->loop, 0, 0, serial_flush, s);
	if (!s->wake_handler || !s->flush_timer)
		return err_set(e, -ENOMEM, "out of memory");
	if (setup->log) {
		s->log_fd =
			open(setup->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_APPEND, 0600);
		if (s->log_fd < 0)
			return err_request(
				e, -errno, "%s log %s: %s", s->name, setup->log, err_str(errno));
	}
	if (setup->scrollback && !(s->scrollback = malloc(SCROLLBACK_BYTES)))
		return err_set(e, -ENOMEM, "out of memory");
	if (setup->pty)
		return serial_open_pty(s, setup->pty, e);
	if (setup->stdio)
		return serial_open_stdio(s, e);
	return setup->socket ? serial_open_socket(s, setup->socket, e) : 0;
}

int serial_new(const struct serial_setup *setup, struct loop *l, struct kvm *k, struct serial **out,
	struct err *e)
{
	struct serial *s = calloc(1, sizeof(*s));

	*out = s;
	if (!s)
		return err_set(e, -ENOMEM, "out of memory");
	s->name = setup->name;
	s->busy = setup->busy;
	s->loop = l;
	s->kvm = k;
	s->irq = setup->irq;
	s->escape = setup->escape;
	s->escape_arg = setup->escape_arg;
	s->patient = !setup->scrollback;
	s->wake_fd = s->listen_fd = s->client_fd = s->client_out = s->log_fd = -1;
	s->pty = (struct pty){ .master = -1, .watch = -1, .folder = -1 };
	s->terminal = (struct terminal){ .in = -1, .out = -1, .guard_fd = -1, .guard = -1 };
	pthread_mutex_init(&s->lock, NULL);
	if (uart_init(&s->uart))
		return err_set(e, -ENOMEM, "out of memory");
	return serial_open(s, setup, e);
}

void serial_free(struct serial *s)
{
	if (!s)
		return;
	if (s->wake_fd >= 0)
		serial_drain(s);
	client_drop(s);
	loop_del(s->loop, s->listen_handler);
	loop_del(s->loop, s->wake_handler);
	loop_del(s->loop, s->flush_timer);
	pty_close(&s->pty);
	terminal_close(&s->terminal);
	if (s->socket)
		unlink(s->socket);
	free(s->socket);
	free(s->scrollback);
	fd_close(&s->listen_fd);
	fd_close(&s->wake_fd);
	fd_close(&s->log_fd);
	uart_free(&s->uart);
	free(s);
}

void serial_reset(struct serial *s)
{
	serial_drain(s);
	pthread_mutex_lock(&s->lock);
	uart_reset(&s->uart);
	s->irq_level = true; /* the interrupt controllers were reset: say it anew */
	serial_irq_update(s);
	pthread_mutex_unlock(&s->lock);
}
