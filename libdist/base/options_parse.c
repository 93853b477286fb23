#include "base/options_parts.h"

#include <math.h>
#include <string.h>

#include "base/number.h"

static const char *const log_words[] = {"none", "error", "warn", "info", "debug", NULL};
static const char *const progress_words[] = {"thread", "inline", NULL};
static const char *const simd_words[] = {"auto", "scalar", "avx2", "avx512", "neon", NULL};

static const char *const wire_words[] = {"auto", "mpi", "tcp", NULL};
static const char *const shm_words[] = {"auto", "stage", "off", NULL};

static bool parse_word(const char *const *words, const char *text, double *number)
{
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], text) == 0) {
            *number = i;
            return true;
        }
    }
    return false;
}

static bool parse_seconds(const char *text, double *number)
{
    if (strspn(text, "0123456789.eE+-") != strlen(text)) /* no blanks, hexadecimal, "inf" or "nan" */
        return false;
    char *end;
    *number = dist_strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*number) && *number > 0;
}

static double suffix_bytes(char suffix)
{
    switch (suffix) {
    case 'K':
    case 'k':
        return 1024.0;
    case 'M':
    case 'm':
        return 1024.0 * 1024;
    case 'G':
    case 'g':
        return 1024.0 * 1024 * 1024;
    default:
        return 0;
    }
}

static bool parse_bytes(const char *text, double *number)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 15) /* 15 digits are exact in a double */
        return 0;
    double bytes = 0;
    for (size_t i = 0; i < digits; i++)
        bytes = bytes * 10 + (text[i] - '0');
    if (text[digits] != '\0') {
        bytes *= suffix_bytes(text[digits]);
        if (suffix_bytes(text[digits]) == 0 || text[digits + 1] != '\0')
            return false;
    }
    *number = bytes;
    return bytes <= 0x1p50; /* a pebibyte: far inside the exact integers */
}

/* Digits up to `end`, or to the end where it is NUL. */
static bool parse_whole(const char *text, char end, long most, long *number)
{
    const size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 6 || text[digits] != end)
        return false;
    *number = 0;
    for (size_t i = 0; i < digits; i++)
        *number = *number * 10 + (text[i] - '0');
    return *number <= most;
}

static bool parse_streams(const char *text, double *number)
{
    long streams = 0;
    if (strcmp(text, "auto") != 0 && (!parse_whole(text, '\0', 64, &streams) || streams == 0))
        return false;
    *number = (double)streams;
    return true;
}

static bool parse_ports(const char *text, double *number)
{
    const char *dash = strchr(text, '-');
    long first, last;
    if (!parse_whole(text, dash ? '-' : '\0', 65535, &first))
        return false;
    last = first;
    if (dash && (!parse_whole(dash + 1, '\0', 65535, &last) || first == 0 || last < first))
        return false;
    *number = (double)(first * 65536 + last);
    return true;
}

bool dist_option_parse(dist_option_kind kind, const char *text, double *number)
{
    *number = 0;
    switch (kind) {
    case DIST_KIND_TEXT:
        return true;
    case DIST_KIND_LOG:
        return parse_word(log_words, text, number);
    case DIST_KIND_PROGRESS:
        return parse_word(progress_words, text, number);
    case DIST_KIND_SIMD:
        return parse_word(simd_words, text, number);
    case DIST_KIND_WIRE:
        return parse_word(wire_words, text, number);
    case DIST_KIND_SHM:
        return parse_word(shm_words, text, number);
    case DIST_KIND_STREAMS:
        return parse_streams(text, number);
    case DIST_KIND_PORTS:
        return parse_ports(text, number);
    case DIST_KIND_SECONDS:
        return parse_seconds(text, number);
    case DIST_KIND_BYTES:
        return parse_bytes(text, number);
    }
    return false;
}

const char *dist_option_allowed(dist_option_kind kind)
{
    switch (kind) {
    case DIST_KIND_TEXT:
        break;
    case DIST_KIND_LOG:
        return "none, error, warn, info or debug";
    case DIST_KIND_PROGRESS:
        return "thread or inline";
    case DIST_KIND_SIMD:
        return "auto, scalar, avx2, avx512 or neon";
    case DIST_KIND_WIRE:
        return "auto, mpi or tcp";
    case DIST_KIND_SHM:
        return "auto, stage or off";
    case DIST_KIND_STREAMS:
        return "auto or a whole number from 1 to 64";
    case DIST_KIND_PORTS:
        return "a port up to 65535, or two such as 5000-5063";
    case DIST_KIND_SECONDS:
        return "a positive number of seconds, such as 60 or 0.5";
    case DIST_KIND_BYTES:
        return "a whole number of bytes, such as 65536, 64K, 25M or 1G";
    }
    return "a text";
}

dist_option dist_option_find(const char *name, size_t length)
{
    for (int i = 0; i < DIST_OPTIONS; i++) {
        if (strlen(dist_option_table[i].name) == length &&
            memcmp(dist_option_table[i].name, name, length) == 0)
            return (dist_option)i;
    }
    return DIST_OPTIONS;
}

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static int min3(int a, int b, int c)
{
    int least = a < b ? a : b;
    return least < c ? least : c;
}

#define LONGEST_NAME 24 /* after its prefix, of an option and of what gets a suggestion */

/* The number of characters to insert, delete or replace to make `a` of `b`, whatever their case. */
static int edit_distance(const char *a, size_t length_a, const char *b, size_t length_b)
{
    int row[LONGEST_NAME + 1];
    for (size_t j = 0; j <= length_b; j++)
        row[j] = (int)j;
    for (size_t i = 1; i <= length_a; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= length_b; j++) {
            int above = row[j];
            int replaced = diagonal + (upper(a[i - 1]) != upper(b[j - 1]));
            row[j] = min3(above + 1, row[j - 1] + 1, replaced);
            diagonal = above;
        }
    }
    return row[length_b];
}

dist_option dist_option_near(const char *name, size_t length)
{
    static const char prefix[] = "DIST_"; /* in every name; "codec = int8" in a file lacks it */
    const size_t prefix_length = sizeof prefix - 1;
    if (length > prefix_length && edit_distance(name, prefix_length, prefix, prefix_length) == 0) {
        name += prefix_length;
        length -= prefix_length;
    }
    if (length > LONGEST_NAME)
        return DIST_OPTIONS;
    dist_option nearest = DIST_OPTIONS;
    int least = length < 4 ? 2 : 3; /* nearer than this: any short word is two edits from LOG */
    for (int i = 0; i < DIST_OPTIONS; i++) {
        const char *known = dist_option_table[i].name + prefix_length;
        int distance = edit_distance(name, length, known, strlen(known));
        if (distance < least) {
            least = distance;
            nearest = (dist_option)i;
        }
    }
    return nearest;
}
