/* What the library says, and only when asked (DIST_LOG). */
#ifndef DIST_BASE_LOG_H
#define DIST_BASE_LOG_H

#include <stdio.h>

typedef enum dist_log_level {
    DIST_LOG_NONE,
    DIST_LOG_ERROR,
    DIST_LOG_WARN,
    DIST_LOG_INFO,
    DIST_LOG_DEBUG
} dist_log_level;

/* Belongs to a context; rooms that log are given a pointer to it. */
typedef struct dist_log {
    dist_log_level level;
    FILE *file;
    int rank; /* -1 before it is known */
} dist_log;

/* Writes one line, "libdist rank 3 warn: ...", when `log` is not NULL and its level asks for it. */
void dist_log_write(const dist_log *log, dist_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
