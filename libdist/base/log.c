#include "base/log.h"

#include <stdarg.h>

static const char *level_name(dist_log_level level)
{
    switch (level) {
    case DIST_LOG_ERROR:
        return "error";
    case DIST_LOG_WARN:
        return "warn";
    case DIST_LOG_INFO:
        return "info";
    case DIST_LOG_DEBUG:
        return "debug";
    case DIST_LOG_NONE:
        break;
    }
    return NULL;
}

/* Ends what snprintf left in `line` with a newline and, where it was cut, with dots. */
static void end_line(char *line, size_t size, size_t length)
{
    if (length > size - 2) {
        length = size - 2;
        for (size_t dot = 1; dot <= 3; dot++)
            line[length - dot] = '.';
    }
    line[length] = '\n';
    line[length + 1] = '\0';
}

void dist_log_write(const dist_log *log, dist_log_level level, const char *format, ...)
{
    if (!log || !log->file || level > log->level || !level_name(level))
        return;
    char line[1280]; /* holds a whole dist_last_error(); one write keeps lines of several ranks apart */
    int length;
    if (log->rank < 0)
        length = snprintf(line, sizeof line, "libdist %s: ", level_name(level));
    else
        length = snprintf(line, sizeof line, "libdist rank %d %s: ", log->rank, level_name(level));
    size_t used = (size_t)length;
    va_list arguments;
    va_start(arguments, format);
    length = vsnprintf(line + used, sizeof line - used, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    end_line(line, sizeof line, used + (size_t)length);
    fputs(line, log->file);
    fflush(log->file);
}
