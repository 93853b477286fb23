/* Numbers in text, as C writes them whatever the program's locale. */
#ifndef DIST_BASE_NUMBER_H
#define DIST_BASE_NUMBER_H

#include <stddef.h>

/* strtod in the C locale: the program may have set one where "0.5" is not a number. */
double dist_strtod(const char *text, char **end);

/* Nine digits of the number, as printf's %.9g in the C locale. */
void dist_number_text(char *text, size_t size, double number);

#endif
