/* Numbers, times and layers as people write them. */
#define _POSIX_C_SOURCE 200809L /* getline */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plan.h"

#define BLANKS " \t\r\n"

/* A number that is finite and at least 0 at *text, which moves on behind it. */
static bool take_number(const char **text, double *value)
{
    char *end;
    *value = strtod(*text, &end);
    const bool good = end != *text && isfinite(*value) && *value >= 0;
    *text = end;
    return good;
}

bool plan_read_number(const char *text, double kilo, double *value)
{
    static const char suffixes[] = "KMG";
    if (!take_number(&text, value))
        return false;
    const char *suffix = *text && kilo > 0 ? strchr(suffixes, *text & ~0x20) : NULL;
    for (int i = 0; suffix && i <= suffix - suffixes; i++)
        *value *= kilo;
    return *text == '\0' || (suffix && text[1] == '\0');
}

/* Up to `most` numbers with commas or blanks between them, up to the end or a ';'; how many, or -1. */
static int take_list(const char **text, double *value, int most)
{
    int count = 0;
    for (;;) {
        *text += strspn(*text, BLANKS);
        if (count == most || !take_number(text, &value[count++]))
            return -1;
        *text += strspn(*text, BLANKS);
        if (**text == ',')
            ++*text;
        else if (**text == '\0' || **text == ';')
            return count;
        else if (!strchr(BLANKS, (*text)[-1]))
            return -1;
    }
}

/* Makes room for one more in an array that doubles whenever its count is a power of two. */
static bool room(void *address, int count, size_t element)
{
    void *array;
    memcpy(&array, address, sizeof array);
    if (count & (count - 1))
        return true;
    array = realloc(array, (count ? 2 * (size_t)count : 1) * element);
    if (!array)
        return false;
    memcpy(address, &array, sizeof array);
    return true;
}

static bool add_times(plan_times *times, const double *of)
{
    if (!room(&times->value, times->count, sizeof *times->value))
        return false;
    times->value[times->count++] = (dist_stage_times){of[0], of[1], of[2]};
    return true;
}

static bool add_number(plan_numbers *numbers, double value)
{
    if (!room(&numbers->value, numbers->count, sizeof *numbers->value))
        return false;
    numbers->value[numbers->count++] = value;
    return true;
}

/* One layer or stage a line: three numbers, and a fourth where `memory` is there to take it. */
static bool take_line(char *line, plan_times *times, plan_numbers *memory)
{
    double of[4] = {0};
    line[strcspn(line, "#")] = '\0';
    const char *text = line + strspn(line, BLANKS);
    if (!*text)
        return true;
    const int count = take_list(&text, of, memory ? 4 : 3);
    return count >= 3 && *text == '\0' && add_times(times, of) && (!memory || add_number(memory, of[3]));
}

static bool read_lines(const char *path, plan_times *times, plan_numbers *memory)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0;
    bool good = file != NULL;
    times->count = 0;
    while (good && getline(&line, &capacity, file) >= 0)
        good = take_line(line, times, memory);
    good = good && !ferror(file);
    free(line);
    if (file)
        fclose(file);
    return good && times->count > 0;
}

bool plan_read_times(const char *text, plan_times *times)
{
    const char *start = text;
    double of[3];
    if (!strchr("0123456789.+", *text))
        return read_lines(text, times, NULL);
    times->count = 0;
    for (;; text++) {
        if (take_list(&text, of, 3) != 3 || !add_times(times, of))
            break;
        if (*text == '\0')
            return true;
    }
    return read_lines(start, times, NULL); /* a name may begin with a digit */
}

bool plan_read_numbers(const char *text, plan_numbers *numbers)
{
    numbers->count = 0;
    for (;; text++) {
        double value;
        if (!take_number(&text, &value) || !add_number(numbers, value))
            return false;
        if (*text != ',')
            return *text == '\0';
    }
}

bool plan_read_layers(const char *path, plan_times *times, plan_numbers *memory)
{
    return read_lines(path, times, memory);
}
