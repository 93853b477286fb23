#define _POSIX_C_SOURCE 200809L /* newlocale */

#include "base/number.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

double dist_strtod(const char *text, char **end)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c)
        return strtod(text, end);
    locale_t before = uselocale(c);
    double number = strtod(text, end);
    uselocale(before);
    freelocale(c);
    return number;
}

void dist_number_text(char *text, size_t size, double number)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t before = c ? uselocale(c) : (locale_t)0;
    snprintf(text, size, "%.9g", number);
    if (!c)
        return;
    uselocale(before);
    freelocale(c);
}
