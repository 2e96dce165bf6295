/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on stderr: "2026-11-22T17:47:10.123Z warn  text". A daemon's stderr is its log file
 * in the lab's folder. Any thread may call it; one write(2) a line. Never on the busy path.
 */
#ifndef LANYARD_BASE_LOG_H
#define LANYARD_BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_level(void);
/* "error", "warn", "info", "debug" to *level; -EINVAL for anything else. */
int log_level_parse(const char *name, enum log_level *level);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                    \
	do {                                              \
		if (log_level() >= LOG_DEBUG)             \
			log_line(LOG_DEBUG, __VA_ARGS__); \
	} while (0)

#endif
