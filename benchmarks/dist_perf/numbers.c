/* Numbers and lists, as the command line has them and as tables need them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "perf.h"

bool perf_read_number(const char *text, double kilo, double *value)
{
    static const char suffixes[] = "KMGT";
    char *end;
    *value = strtod(text, &end);
    if (end == text || !isfinite(*value) || *value < 0)
        return false;
    const char *suffix = *end ? strchr(suffixes, *end & ~0x20) : NULL;
    for (int i = 0; suffix && i <= suffix - suffixes; i++)
        *value *= kilo;
    return *end == '\0' || (suffix && end[1] == '\0');
}

bool perf_read_bytes(const char *text, size_t *bytes)
{
    double value;
    if (!perf_read_number(text, 1024, &value) || value > 1e15)
        return false;
    *bytes = (size_t)value;
    return true;
}

bool perf_read_count(const char *text, int least, int *count)
{
    char *end;
    long value = strtol(text, &end, 10);
    *count = (int)value;
    return end != text && *end == '\0' && value >= least && value <= 10000000;
}

bool perf_read_type(const char *text, dist_type *type)
{
    for (int t = 0; t < DIST_TYPES; t++)
        if (strcmp(text, dist_type_name((dist_type)t)) == 0) {
            *type = (dist_type)t;
            return true;
        }
    return false;
}

bool perf_read_list(perf_list *list, const char *text)
{
    if (strlen(text) >= sizeof list->text)
        return false;
    strcpy(list->text, text);
    list->words = 0;
    for (char *word = strtok(list->text, ","); word; word = strtok(NULL, ",")) {
        if (list->words == PERF_WORDS)
            return false;
        list->word[list->words++] = word;
    }
    return list->words > 0;
}

bool perf_list_has(const perf_list *list, const char *word)
{
    for (int i = 0; i < list->words; i++)
        if (strcmp(list->word[i], word) == 0)
            return true;
    return false;
}

const char *perf_bytes_text(double bytes, char text[16])
{
    static const char *const unit[] = {"", "K", "M", "G", "T"};
    int u = 0;
    for (; u < 4 && bytes >= 1024 && fmod(bytes, 1024) == 0; u++)
        bytes /= 1024;
    for (; u < 4 && bytes >= 10240; u++)
        bytes /= 1024;
    snprintf(text, 16, bytes == floor(bytes) ? "%.0f%s" : "%.1f%s", bytes, unit[u]);
    return text;
}

size_t perf_next_size(size_t bytes, size_t step, double factor)
{
    const size_t next = step ? bytes + step : (size_t)((double)bytes * factor);
    return next > bytes ? next : bytes + 1;
}

size_t perf_count_sizes(const perf_options *o)
{
    size_t sizes = 0;
    for (size_t bytes = o->begin; bytes <= o->end; bytes = perf_next_size(bytes, o->step, o->factor))
        sizes++;
    return sizes;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double perf_median(double *value, int count)
{
    qsort(value, (size_t)count, sizeof *value, ascending);
    return value[count / 2];
}

double perf_quantile(const double *sorted, int count, double share)
{
    const int at = (int)(share * count);
    return sorted[at < count ? at : count - 1];
}
