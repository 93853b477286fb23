/* Charts of the tools: well-formed whatever they are given, texts apart and within the picture, the same bytes in every
 * locale, and no half files. */
#define _XOPEN_SOURCE 700 /* setenv, mkdtemp, realpath */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "axis.h"
#include "chart.h"
#include "svg_check.h"

#define BAD_NAME "<&>\" \xC3\xA9\xE2\x86\x92\xF0\x9F\x98\x80 \xFF\xC3(\x01 \xED\xA0\x80 \xEF\xBF\xBF]]>"

typedef struct scene {
    char folder[32], path[48];
} scene;

static int set_up(void **state)
{
    scene *s = calloc(1, sizeof *s);
    snprintf(s->folder, sizeof s->folder, "/tmp/dist_chart.XXXXXX");
    if (!mkdtemp(s->folder))
        return -1;
    snprintf(s->path, sizeof s->path, "%s/a.svg", s->folder);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    scene *s = *state;
    unlink(s->path);
    const int status = rmdir(s->folder); /* fails when something else was left */
    free(s);
    return status;
}

/* What was written, checked; the caller frees it. */
static char *checked(const scene *s)
{
    char *picture = svg_read(s->path);
    assert_non_null(picture);
    assert_true(svg_well_formed(picture));
    assert_true(svg_texts_apart(picture));
    assert_null(strstr(picture, "=\"nan"));
    assert_null(strstr(picture, "nan "));
    assert_null(strstr(picture, "inf"));
    assert_null(strstr(picture, "-nan"));
    return picture;
}

static int count_of(const char *picture, const char *part)
{
    int count = 0;
    for (; (picture = strstr(picture, part)); picture++)
        count++;
    return count;
}

static bool has(const char *picture, const char *part)
{
    return strstr(picture, part) != NULL;
}

static char *curves(const scene *s, const chart_curves *chart)
{
    assert_int_equal(chart_write_curves(s->path, chart), 0);
    return checked(s);
}

static char *matrices(const scene *s, const chart_matrix *matrix, int count)
{
    assert_int_equal(chart_write_matrices(s->path, matrix, count), 0);
    return checked(s);
}

static char *timeline(const scene *s, const chart_timeline *chart)
{
    assert_int_equal(chart_write_timeline(s->path, chart), 0);
    return checked(s);
}

/* ---- the checks themselves ---- */

static void test_check_notices(void **state)
{
    (void)state;
#define HEAD "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"100\" height=\"100\""
    assert_true(svg_well_formed(HEAD "><g>a &amp; b</g><g/></svg>\n"));
    assert_false(svg_well_formed(HEAD "><g>a & b</g></svg>\n"));
    assert_false(svg_well_formed(HEAD "><g>a > b</g></svg>\n"));
    assert_false(svg_well_formed(HEAD "><g></svg></g>\n"));
    assert_false(svg_well_formed(HEAD "><g></svg>\n"));
    assert_false(svg_well_formed(HEAD "></svg><svg></svg>\n"));
    assert_false(svg_well_formed(HEAD "><g a=\"<\"/></svg>\n"));
    assert_false(svg_well_formed(HEAD "><g a=b/></svg>\n"));
    assert_false(svg_well_formed(HEAD ">\xFF</svg>\n"));
#define TEXT(x, y) "<text x=\"" #x "\" y=\"" #y "\" font-size=\"10\" text-anchor=\"start\">word</text>"
    assert_true(svg_texts_apart(HEAD ">" TEXT(10, 20) TEXT(10, 40) "</svg>"));
    assert_false(svg_texts_apart(HEAD ">" TEXT(10, 20) TEXT(10, 25) "</svg>"));
    assert_false(svg_texts_apart(HEAD ">" TEXT(90, 20) "</svg>"));
    assert_false(svg_texts_apart(HEAD ">" TEXT(10, 5) "</svg>"));
}

/* ---- axes ---- */

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        int digits;
        const char *text;
    } number[] = {{0, 6, "0"},           {-0.0, 6, "0"},      {1, 6, "1"},         {0.1, 6, "0.1"},
                  {100000, 6, "100000"}, {1e6, 6, "1e6"},     {2.5e7, 6, "2.5e7"}, {1e-5, 6, "1e-5"},
                  {1e100, 6, "1e100"},   {12345, 3, "12345"}, {999.96, 3, "1000"}, {-3.5, 6, "-3.5"}};
    char text[32];
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        axis_number(text, sizeof text, number[i].value, number[i].digits);
        assert_string_equal(text, number[i].text);
    }
    static const struct {
        double value;
        const char *figure, *bytes;
    } both[] = {{8, "8.00", "8"},
                {1024, "1024", "1K"},
                {1536, "1536", "1.5K"},
                {9.9999, "10.0", "10"},
                {0.0123456, "0.0123", "0.01235"},
                {134217728, "1.34e8", "128M"},
                {0, "0.00", "0"},
                {1e-9, "1e-9", "1e-9"}};
    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        axis_figure(text, sizeof text, both[i].value);
        assert_string_equal(text, both[i].figure);
        axis_bytes(text, sizeof text, both[i].value);
        assert_string_equal(text, both[i].bytes);
    }
}

static void test_ticks(void **state)
{
    (void)state;
    static const double span[][2] = {
        {0, 1},  {0, 7.3}, {8, 134217728}, {1e-280, 1e280}, {1e6, 1e6 + 1}, {1, 1.0001},      {0.9, 1.1},
        {5, 50}, {3, 3},   {1e-7, 3e-7},   {1e280, 1e280},  {1, 1 + 1e-15}, {1e-280, 1e-280}, {2, 1}};
    for (size_t i = 0; i < sizeof span / sizeof *span; i++)
        for (int kind = 0; kind < 4; kind++)
            for (int most = 2; most <= AXIS_TICKS; most++) {
                axis a = {.log = kind & 1, .bytes = kind & 2, .at = 100, .length = 500};
                axis_tick tick[AXIS_TICKS];
                if (!axis_holds(&a, span[i][0]))
                    continue;
                axis_span(&a, span[i][0], span[i][1]);
                assert_true(a.from < a.to && isfinite(a.to - a.from) && (!a.log || a.from > 0));
                const int count = axis_ticks(&a, most, tick);
                assert_true(count >= 0 && count <= most);
                if (most >= 7 && !a.bytes)
                    assert_true(count >= 2);
                for (int t = 0; t < count; t++) {
                    const double at = axis_at(&a, tick[t].value);
                    assert_true(at > 99.9 && at < 600.1);
                    assert_true(t == 0 || at > axis_at(&a, tick[t - 1].value));
                    assert_true(t == 0 || strcmp(tick[t].label, tick[t - 1].label) != 0);
                    assert_true(strlen(tick[t].label) < 20);
                }
            }
    axis_tick tick[AXIS_TICKS];
    assert_int_equal(axis_ticks(&(axis){.log = true, .bytes = true, .from = 8, .to = 134217728}, 10, tick),
                     9);
    assert_string_equal(tick[0].label, "8");
    assert_string_equal(tick[3].label, "4K");
    assert_string_equal(tick[8].label, "128M");
    assert_int_equal(axis_ticks(&(axis){.from = 0, .to = 4}, 7, tick), 5);
    assert_string_equal(tick[4].label, "4");
}

/* ---- curves ---- */

static void test_curves_empty(void **state)
{
    const scene *s = *state;
    const chart_point none[3] = {{1, NAN}, {NAN, 1}, {3, INFINITY}};
    const chart_line line[3] = {
        {"all NAN", none, 3, false}, {"no points", NULL, 0, true}, {NULL, NULL, 0, false}};
    for (int kind = 0; kind < 8; kind++) {
        chart_curves c = {.x_log = kind & 1, .y_log = kind & 2, .x_bytes = kind & 4};
        char *picture = curves(s, &c);
        assert_true(has(picture, ">no figures<"));
        free(picture);
        c.line = line;
        c.lines = 3;
        picture = curves(s, &c);
        assert_true(has(picture, ">no figures<") && has(picture, ">all NAN<") && has(picture, ">no points<"));
        assert_int_equal(count_of(picture, "stroke-width=\"2\" stroke-linejoin"), 0);
        free(picture);
    }
}

static void test_curves_broken(void **state)
{
    const scene *s = *state;
    const chart_point point[7] = {{1, 1}, {2, 2}, {4, NAN}, {8, 3}, {16, NAN}, {32, 4}, {64, 5}};
    const chart_line line = {"broken", point, 7, true};
    char *picture = curves(s, &(chart_curves){.x_log = true, .line = &line, .lines = 1});
    const char *path = strstr(picture, "stroke-linejoin");
    assert_non_null(path);
    char *end = strchr(path, '>');
    *end = 0;
    assert_true(has(path, "stroke-dasharray"));
    assert_int_equal(count_of(path, "M"), 2); /* 1 to 2, 32 to 64 */
    assert_int_equal(count_of(path, "L"), 2);
    *end = '>';
    assert_int_equal(count_of(picture, "<title>broken at "), 5); /* that at 8 stands alone */
    assert_true(has(picture, "<title>broken at 8: 3</title>"));
    assert_false(has(picture, "no figures"));
    free(picture);
}

static void test_curves_one_and_equal(void **state)
{
    const scene *s = *state;
    static const double values[] = {0, 5, -5, 1e-280, 1e280, 1e7, 0.1};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        for (int kind = 0; kind < 4; kind++) {
            const chart_point point[3] = {
                {values[i], values[i]}, {values[i], values[i]}, {values[i], values[i]}};
            const chart_line line[2] = {{"one", point, 1, false}, {"equal", point, 3, false}};
            const bool held = kind == 0 || values[i] > 0;
            for (int lines = 1; lines <= 2; lines++) {
                char *picture = curves(s, &(chart_curves){"t", "s", "x", "y", .x_log = kind & 1,
                                                          .y_log = kind & 2, .line = line, .lines = lines});
                assert_int_equal(count_of(picture, "<title>one at"), held ? 1 : 0);
                free(picture);
            }
        }
}

static void test_curves_log_of_nothing(void **state)
{
    const scene *s = *state;
    const chart_point point[4] = {{1, -1}, {2, 0}, {0, 5}, {4, 8}};
    const chart_line line = {"a", point, 4, false};
    char *picture = curves(s, &(chart_curves){.x_log = true, .y_log = true, .line = &line, .lines = 1});
    assert_true(has(picture, "3 figures at or below 0 have no place on a logarithmic axis."));
    assert_int_equal(count_of(picture, "<title>a at"), 1);
    free(picture);
    picture = curves(s, &(chart_curves){.line = &line, .lines = 1});
    assert_false(has(picture, "no place"));
    assert_int_equal(count_of(picture, "<title>a at"), 4);
    free(picture);
}

static void test_curves_many(void **state)
{
    enum { LINES = 40, POINTS = 25 };
    const scene *s = *state;
    chart_point *point = calloc(LINES * POINTS, sizeof *point);
    chart_line line[LINES];
    char name[LINES][96];
    for (int l = 0; l < LINES; l++) {
        for (int i = 0; i < POINTS; i++) /* ends close together */
            point[l * POINTS + i] =
                (chart_point){ldexp(8, i), ldexp(8, i) / (20e-6 + ldexp(8, i) * (1 + 0.001 * l))};
        snprintf(name[l], sizeof name[l], "line %d%s", l,
                 l % 3 ? "" : " with a name that is longer than what has room beside it");
        line[l] = (chart_line){name[l], &point[l * POINTS], POINTS, l % 2};
    }
    for (int lines = 1; lines <= LINES; lines++) {
        char *picture = curves(s, &(chart_curves){"title", "subtitle", "size, bytes", "GB/s", true, true,
                                                  lines % 2, line, lines});
        assert_int_equal(count_of(picture, "stroke-linejoin"), lines);
        for (int l = 0; l < lines; l++)
            assert_true(has(picture, name[l]));
        free(picture);
    }
    free(point);
}

/* ---- names ---- */

static void test_names(void **state)
{
    const scene *s = *state;
    char longest[4000];
    memset(longest, 'w', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    const char *const names[3] = {BAD_NAME, longest, NULL};
    const double value[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    const chart_point point[2] = {{1, 2}, {3, 4}};
    const chart_span span[2] = {{0, 5, BAD_NAME, 0}, {5, 5.001, longest, 1}};
    const chart_line line[3] = {
        {BAD_NAME, point, 2, false}, {longest, point, 2, false}, {NULL, point, 2, false}};
    const chart_lane lane[3] = {{BAD_NAME, span, 2}, {longest, span, 2}, {NULL, span, 2}};
    const double mark[3] = {1, 4, 5};
    for (int i = 0; i < 3; i++) {
        const char *n = names[i];
        char *picture = curves(s, &(chart_curves){n, n, n, n, .line = line, .lines = 3});
        assert_true(has(picture, "&lt;&amp;&gt;&quot; \xC3\xA9\xE2\x86\x92\xF0\x9F\x98\x80 \xEF\xBF\xBD"));
        assert_true(i == 0 || has(picture, longest)); /* as tooltip */
        free(picture);
        free(matrices(s, &(chart_matrix){n, n, n, names, names, 3, 3, value, .marked = NULL}, 1));
        free(timeline(s, &(chart_timeline){n, n, i == 1 ? NULL : n, lane, 3, mark, names, 3}));
    }
}

/* ---- heat maps ---- */

static void test_matrices_empty(void **state)
{
    const scene *s = *state;
    const double none[4] = {NAN, NAN, INFINITY, NAN};
    free(matrices(s, NULL, 0));
    free(matrices(s, &(chart_matrix){.title = "nothing"}, 1));
    char *picture = matrices(
        s, &(chart_matrix){.title = "none", .rows = 2, .columns = 2, .value = none, .unit = "us"}, 1);
    assert_int_equal(count_of(picture, ": no figure us</title>"), 4);
    free(picture);
    free(matrices(s, &(chart_matrix){.rows = 0, .columns = 5}, 1));
}

/* The colour of the cell with this tooltip. */
static void colour_at(const char *picture, const char *tooltip, char colour[8])
{
    const char *cell = strstr(picture, tooltip);
    assert_non_null(cell);
    cell = strstr(cell, "fill=\"");
    memcpy(colour, cell + 6, 7);
    colour[7] = 0;
}

static void test_matrices_colours(void **state)
{
    const scene *s = *state;
    const double value[4] = {10, 9.9, 2, NAN}, equal[4] = {5, 5, 5, 5}, far[4] = {1, 10, 100, 1000};
    const bool marked[4] = {false, false, true, false};
    chart_matrix m[3] = {{"bandwidth", NULL, "GB/s", NULL, NULL, 2, 2, value, true, marked},
                         {"equal", NULL, "a", NULL, NULL, 2, 2, equal, true, NULL},
                         {"far", NULL, "b", NULL, NULL, 2, 2, far, false, NULL}};
    char colour[8], middle[8];
    char *picture = matrices(s, m, 3);
    colour_at(picture, "0 \xE2\x86\x92 0: 10 GB/s", colour);
    assert_string_equal(colour, "#fdf3da");
    colour_at(picture, "1 \xE2\x86\x92 0: 2 GB/s", colour);
    assert_string_equal(colour, "#4f1046");
    colour_at(picture, "1 \xE2\x86\x92 1: no figure GB/s", colour);
    assert_string_equal(colour, SVG_EMPTY);
    colour_at(picture, "0 \xE2\x86\x92 1: 5 a", colour);
    assert_string_equal(colour, "#fdf3da");
    colour_at(picture, "1 \xE2\x86\x92 1: 1000 b", colour);
    assert_string_equal(colour, "#4f1046");
    colour_at(picture, "0 \xE2\x86\x92 1: 10 b", middle); /* a third of a logarithmic scale */
    assert_string_equal(middle, "#f2af62");
    assert_int_equal(count_of(picture, ">named as bad<"), 1);
    assert_int_equal(count_of(picture, "pointer-events"), 4); /* one cell, one key: two each */
    assert_int_equal(count_of(picture, "log scale"), 1);
    assert_true(has(picture, ">9.90<") && has(picture, ">10.0<") && has(picture, ">1000<"));
    free(picture);

    m[0].low_is_bad = false;
    picture = matrices(s, m, 1);
    colour_at(picture, "1 \xE2\x86\x92 0: 2 GB/s", colour);
    assert_string_equal(colour, "#fdf3da");
    free(picture);

    const double negative[4] = {-1e30, 0, 1e-30, 7};
    m[0].value = negative;
    free(matrices(s, m, 1));
}

static void test_matrices_sizes(void **state)
{
    static const int sizes[][2] = {{1, 1},  {2, 2},  {4, 4},   {16, 16}, {64, 64},
                                   {1, 64}, {64, 1}, {200, 3}, {3, 200}};
    const scene *s = *state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int rows = sizes[i][0], columns = sizes[i][1];
        double *value = calloc((size_t)(rows * columns), sizeof *value);
        for (int k = 0; k < rows * columns; k++)
            value[k] = 1000 + 17.3 * k;
        char *picture =
            matrices(s, &(chart_matrix){"t", "s", "us", NULL, NULL, rows, columns, value, false, NULL}, 1);
        assert_int_equal(count_of(picture, "<g><title>"), rows * columns);
        assert_int_equal(has(picture, ">1000</text></g>") || has(picture, ">1000</text>\n</g>"),
                         columns <= 16 && rows <= 16);
        free(picture);
        free(value);
    }
}

/* ---- timelines ---- */

static void test_timeline(void **state)
{
    const scene *s = *state;
    free(timeline(s, &(chart_timeline){0}));
    const chart_span bad[5] = {
        {NAN, 1, "a", 0}, {2, 1, "b", 0}, {0, INFINITY, "c", 0}, {3, 3, "point", 0}, {0, 4, "d", 99}};
    const chart_span overlap[3] = {{4, 9, "late", 1}, {0, 5, "early", 1}, {5, 6, "after", 2}};
    const chart_lane lane[3] = {{"bad", bad, 5}, {"overlap", overlap, 3}, {"empty", NULL, 0}};
    const double mark[6] = {8.9, 8.95, 9, 9, NAN, 0};
    const char *const name[6] = {"predicted end", "measured end", "bound", "another", "none", "begin"};
    char *picture = timeline(s, &(chart_timeline){"t", "s", "ms", lane, 3, mark, name, 6});
    assert_int_equal(count_of(picture, "that is"), 5);
    assert_true(has(picture, "<title>point: 3 to 3, that is 0 ms</title>"));
    assert_true(has(picture, ">late<") && has(picture, ">early<"));
    assert_true(has(picture, ">other<") && has(picture, ">exposed, waiting<"));
    for (int i = 0; i < 6; i++)
        if (i != 4)
            assert_true(has(picture, name[i]));
    free(picture);
    free(timeline(s, &(chart_timeline){.lane = lane, .lanes = 3, .mark = mark, .marks = 6}));
}

static void test_timeline_many(void **state)
{
    enum { LANES = 40, SPANS = 60 };
    const scene *s = *state;
    chart_span span[SPANS];
    chart_lane lane[LANES];
    double mark[20];
    const char *name[20];
    for (int i = 0; i < SPANS; i++)
        span[i] = (chart_span){i, i + (i % 7 ? 0.9 : 1e-6), "bucket", i % 5};
    for (int l = 0; l < LANES; l++)
        lane[l] = (chart_lane){"lane", span, SPANS};
    for (int i = 0; i < 20; i++) {
        mark[i] = i % 2 ? 30 + 0.1 * i : 3.1 * i;
        name[i] = "a mark of some length";
    }
    for (int lanes = 1; lanes <= LANES; lanes += 13) {
        char *picture = timeline(s, &(chart_timeline){"t", "s", "ms", lane, lanes, mark, name, 20});
        assert_int_equal(count_of(picture, "that is"), lanes * SPANS);
        free(picture);
    }
    /* All at once: more than there are tracks. */
    for (int i = 0; i < SPANS; i++)
        span[i] = (chart_span){0.1 * i, 100, "a name", 0};
    free(timeline(s, &(chart_timeline){"t", "s", "ms", lane, 1, NULL, NULL, 0}));
}

/* ---- files ---- */

static void test_unwritable(void **state)
{
    const scene *s = *state;
    char path[80];
    snprintf(path, sizeof path, "%s/no/folder.svg", s->folder);
    errno = 0;
    assert_int_equal(chart_write_curves(path, &(chart_curves){0}), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(chart_write_matrices(path, NULL, 0), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(chart_write_timeline(s->folder, &(chart_timeline){0}), -1);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(chart_write_curves("", &(chart_curves){0}), -1);
    if (access("/dev/full", W_OK) == 0) {
        assert_int_equal(chart_write_curves("/dev/full", &(chart_curves){0}), -1);
        assert_int_equal(errno, ENOSPC);
        struct stat found;
        assert_int_equal(stat("/dev/full", &found), 0);
        assert_true(S_ISCHR(found.st_mode));
    }
}

static bool fail_half_way(FILE *file, const void *what)
{
    (void)what;
    svg_begin(file, 10, 10);
    fflush(file);
    return false;
}

static void test_no_half_file(void **state)
{
    const scene *s = *state;
    assert_int_equal(svg_write_file(s->path, fail_half_way, NULL), -1);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(access(s->path, F_OK), -1);
    char *before = curves(s, &(chart_curves){.title = "before"});
    assert_int_equal(svg_write_file(s->path, fail_half_way, NULL), -1);
    char *after = svg_read(s->path);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* A locale whose decimal point is a comma, made of nothing else: none may be installed. */
static bool use_comma(const scene *s)
{
    char command[240], text[8];
    snprintf(command, sizeof command,
             "cd %s && localedef -c -i numeric -f ANSI_X3.4-1968 ./xx_XX >/dev/null 2>&1", s->folder);
    char source[64];
    snprintf(source, sizeof source, "%s/numeric", s->folder);
    FILE *file = fopen(source, "w");
    assert_non_null(file);
    fputs("comment_char %\nescape_char /\nLC_NUMERIC\ndecimal_point \",\"\nthousands_sep \"\"\ngrouping -1\n"
          "END LC_NUMERIC\n",
          file);
    fclose(file);
    if (system(command) == -1 ||
        setenv("LOCPATH", s->folder, 1) != 0) /* it complains of all that is not there */
        return false;
    const bool used = setlocale(LC_NUMERIC, "xx_XX") != NULL;
    snprintf(text, sizeof text, "%.1f", 1.5);
    snprintf(command, sizeof command, "rm -rf %s/xx_XX %s/numeric", s->folder, s->folder);
    return system(command) == 0 && used && strcmp(text, "1,5") == 0;
}

static void test_locale(void **state)
{
    const scene *s = *state;
    const chart_point point[3] = {{0.5, 1.25}, {1.5, 1e-7}, {2.5, 1234.5}};
    const chart_line line = {"a", point, 3, false};
    const chart_curves c = {"t", "s", "x", "y", .line = &line, .lines = 1};
    char *first = curves(s, &c), *again = curves(s, &c);
    assert_string_equal(first, again);
    const bool comma = use_comma(s);
    if (comma) {
        char text[8];
        free(again);
        assert_int_equal(chart_write_curves(s->path, &c), 0);
        again = svg_read(s->path);
        assert_string_equal(first, again);
        snprintf(text, sizeof text, "%.1f", 1.5);
        assert_string_equal(text, "1,5"); /* the program's locale is what it was */
        setlocale(LC_NUMERIC, "C");
    }
    free(first);
    free(again);
    if (!comma) {
        print_message("no locale with a decimal comma here\n");
        skip();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_check_notices),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_ticks),
        cmocka_unit_test_setup_teardown(test_curves_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_curves_broken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_curves_one_and_equal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_curves_log_of_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_curves_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_matrices_empty, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_matrices_colours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_matrices_sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_timeline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_timeline_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unwritable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_half_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_locale, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
