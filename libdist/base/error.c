#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

/* One sentence a thread: an error must reach the caller that got the status, not whoever asks first. */
static _Thread_local char last_error[DIST_ERROR_MAX];

dist_status dist_fail(dist_status status, const char *format, ...)
{
    char sentence[DIST_ERROR_MAX]; /* an argument may be the previous last error */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    snprintf(last_error, sizeof last_error, "%s", sentence);
    return status;
}

const char *dist_last_error(void)
{
    return last_error;
}

const char *dist_status_name(dist_status status)
{
    switch (status) {
#define DIST_STATUS_CASE(name, value, text)                                                                  \
    case name:                                                                                               \
        return #name;
        DIST_STATUS_LIST(DIST_STATUS_CASE)
#undef DIST_STATUS_CASE
    }
    return "unknown status";
}

const char *dist_status_text(dist_status status)
{
    switch (status) {
#define DIST_STATUS_CASE(name, value, text)                                                                  \
    case name:                                                                                               \
        return text;
        DIST_STATUS_LIST(DIST_STATUS_CASE)
#undef DIST_STATUS_CASE
    }
    return "unknown status";
}
