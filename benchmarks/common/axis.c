#include <math.h>
#include <stdio.h>
#include <string.h>

#include "axis.h"

#define LARGEST 1e280 /* differences of figures, and ends beyond them, are figures */

bool axis_holds(const axis *a, double value)
{
    return a->log ? value >= 1 / LARGEST && value <= LARGEST : fabs(value) <= LARGEST;
}

double axis_at(const axis *a, double value)
{
    const double part = a->log ? (log(value) - log(a->from)) / (log(a->to) - log(a->from))
                               : (value - a->from) / (a->to - a->from);
    return a->at + part * a->length;
}

double axis_step(double rough)
{
    const double power = pow(10, floor(log10(rough)));
    const double mantissa = rough / power;
    return power * (mantissa < 1.5 ? 1 : mantissa < 3.5 ? 2 : mantissa < 7.5 ? 5 : 10);
}

void axis_span(axis *a, double least, double most)
{
    if (least > most) {
        a->from = a->log;
        a->to = a->log ? 10 : 1;
        return;
    }
    const double size = fmax(fabs(least), fabs(most));
    a->from = least;
    a->to = most;
    if (a->log) {
        if (!(most / least > 1 + 1e-6)) {
            a->from = least / 2;
            a->to = most * 2;
        }
        return;
    }
    if (!(most - least > size * 1e-6)) {
        a->from = size > 0 ? least - size / 2 : -1;
        a->to = size > 0 ? most + size / 2 : 1;
    }
    if (a->from > 0 && least <= most / 2)
        a->from = 0;
    if (a->to < 0 && most >= least / 2)
        a->to = 0;
}

void axis_widen(axis *a, int ticks)
{
    if (a->log) {
        const double more = exp((log(a->to) - log(a->from)) * 0.04);
        a->from /= more;
        a->to *= more;
        return;
    }
    const double step = axis_step((a->to - a->from) / (ticks > 2 ? ticks - 1 : 1));
    a->from = floor(a->from / step + 1e-9) * step;
    a->to = ceil(a->to / step - 1e-9) * step;
}

/* ---- labels ---- */

/* "e+07" becomes "e7". */
static void shorten_exponent(char *exponent)
{
    char *from = exponent + 1, *to = from;
    if (*from == '-')
        to++;
    from++;
    while (*from == '0' && from[1])
        from++;
    memmove(to, from, strlen(from) + 1);
}

void axis_number(char *text, size_t size, double value, int digits)
{
    snprintf(text, size, "%.*g", digits, value + 0.0);
    char *exponent = strchr(text, 'e');
    if (exponent && fabs(value) >= 1 && fabs(value) < 1e6)
        snprintf(text, size, "%.0f", value);
    else if (exponent)
        shorten_exponent(exponent);
}

void axis_figure(char *text, size_t size, double value)
{
    const double power = fabs(value) > 0 ? floor(log10(fabs(value)) + 1e-3) : 0; /* 9.999 is 10.0 */
    if (power < -4 || power > 5)
        axis_number(text, size, value, 3);
    else
        snprintf(text, size, "%.*f", power < 2 ? 2 - (int)power : 0, value);
}

void axis_bytes(char *text, size_t size, double value)
{
    static const char unit[] = "KMGTPE";
    char number[24];
    int steps = -1;
    while (fabs(value) >= 1024 && steps < 5) {
        value /= 1024;
        steps++;
    }
    axis_number(number, sizeof number, value, 4);
    snprintf(text, size, "%s%.1s", number, steps < 0 ? "" : unit + steps);
}

/* Adds one where it is on the axis. */
static int add_tick(const axis *a, double value, int digits, int count, axis_tick *tick)
{
    const double slack = a->log ? 0 : (a->to - a->from) * 1e-9, times = a->log ? 1 + 1e-9 : 1;
    if (value < a->from / times - slack || value > a->to * times + slack || count >= AXIS_TICKS)
        return count;
    tick[count].value = value;
    if (a->bytes)
        axis_bytes(tick[count].label, sizeof tick[count].label, value);
    else
        axis_number(tick[count].label, sizeof tick[count].label, value, digits);
    return count + 1;
}

/* ---- ticks ---- */

static double step_of_bytes(double rough)
{
    return rough <= 1 ? 1 : exp2(ceil(log2(rough) - 1e-9));
}

static int linear_ticks(const axis *a, int most, axis_tick *tick)
{
    const double range = a->to - a->from;
    int count = 0;
    for (int wanted = most; wanted > 1; wanted--) {
        const double rough = range / wanted, step = a->bytes ? step_of_bytes(rough) : axis_step(rough);
        const double first = ceil(a->from / step - 1e-9), last = floor(a->to / step + 1e-9);
        if (last - first + 1 > most)
            continue;
        const double digits = ceil(log10(fmax(fabs(a->from), fabs(a->to)) / step)) + 1;
        for (double i = first; i <= last; i++)
            count = add_tick(a, i * step + 0.0, (int)fmin(15, fmax(6, digits)), count, tick);
        break;
    }
    return count;
}

/* Powers of `base`, every step-th; at most `most`. */
static int power_ticks(const axis *a, double base, int most, axis_tick *tick)
{
    static const int steps[] = {1, 2, 3, 5, 10, 20, 30, 50, 100, 200};
    const double first = ceil(log(a->from) / log(base) - 1e-9), last = floor(log(a->to) / log(base) + 1e-9);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        const double low = ceil(first / steps[i]), high = floor(last / steps[i]);
        if (high - low + 1 > most)
            continue;
        int count = 0;
        for (double k = low; k <= high; k++)
            count = add_tick(a, pow(base, k * steps[i]), 6, count, tick);
        return count;
    }
    return 0;
}

/* 1, 2 and 5 times the powers of ten. */
static int fine_ticks(const axis *a, int most, axis_tick *tick)
{
    int count = 0;
    for (double k = floor(log10(a->from)); k <= log10(a->to) && count <= most; k++)
        for (int i = 0; i < 3; i++)
            count = add_tick(a, (i == 0 ? 1 : i == 1 ? 2 : 5) * pow(10, k), 6, count, tick);
    return count > most ? 0 : count;
}

int axis_ticks(const axis *a, int most, axis_tick *tick)
{
    enum { FEW = 3 };
    if (!a->log)
        return linear_ticks(a, most, tick);
    int count = power_ticks(a, a->bytes ? 2 : 10, most, tick);
    if (count < FEW && !a->bytes) {
        const int fine = fine_ticks(a, most, tick);
        count = fine >= FEW ? fine : power_ticks(a, 10, most, tick);
    }
    return count >= 2 ? count : linear_ticks(a, most, tick);
}
