/* The trace file: JSON whatever the names and the locale, with the times of all ranks on one clock. */
#define _POSIX_C_SOURCE 200809L

#include "engine_ranks.h"
#include "plan/trace.h"

#include <ctype.h>
#include <locale.h>
#include <unistd.h>

/* Just enough of a JSON parser to tell what is JSON, and to look into flat objects. */
typedef struct json {
    const char *at;
    bool bad;
} json;

static void spaces(json *j)
{
    while (*j->at && strchr(" \t\r\n", *j->at))
        j->at++;
}

static bool eat(json *j, char c)
{
    spaces(j);
    if (*j->at != c)
        return false;
    j->at++;
    return true;
}

static void demand(json *j, bool yes)
{
    j->bad |= !yes;
}

/* The bytes of a UTF-8 character that begins here; 0: none does. */
static int utf8(const unsigned char *c)
{
    int length = c[0] < 0x80 ? 1 : c[0] >= 0xc2 && c[0] < 0xe0 ? 2 : (c[0] & 0xf0) == 0xe0 ? 3 : 0;
    length = (c[0] & 0xf8) == 0xf0 ? 4 : length;
    for (int i = 1; i < length; i++)
        if ((c[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static void parse_string(json *j)
{
    demand(j, eat(j, '"'));
    while (!j->bad && *j->at != '"') {
        if (*j->at == '\\')
            demand(j, strchr("\"\\/bfnrt", *++j->at) && *j->at);
        demand(j, (unsigned char)*j->at >= 0x20 && utf8((const unsigned char *)j->at));
        j->at += j->bad ? 0 : utf8((const unsigned char *)j->at);
    }
    demand(j, eat(j, '"'));
}

static void parse_number(json *j)
{
    j->at += *j->at == '-';
    demand(j, isdigit((unsigned char)*j->at));
    while (isdigit((unsigned char)*j->at))
        j->at++;
    if (*j->at == '.')
        demand(j, isdigit((unsigned char)*++j->at));
    while (isdigit((unsigned char)*j->at))
        j->at++;
}

static void parse_value(json *j, int depth)
{
    spaces(j);
    bool object = *j->at == '{';
    if (depth > 8 || j->bad) {
        j->bad = true;
    } else if (*j->at == '"') {
        parse_string(j);
    } else if (object || *j->at == '[') {
        char end = object ? '}' : ']';
        j->at++;
        if (eat(j, end))
            return;
        do {
            if (object) {
                parse_string(j);
                demand(j, eat(j, ':'));
            }
            parse_value(j, depth + 1);
        } while (!j->bad && eat(j, ','));
        demand(j, eat(j, end));
    } else {
        parse_number(j);
    }
}

static bool is_json(const char *text)
{
    json j = {text, false};
    parse_value(&j, 0);
    spaces(&j);
    return !j.bad && *j.at == '\0';
}

static void test_the_parser(void **state)
{
    (void)state;
    assert_true(is_json("{\"a\":[1,-2.5,{}],\"b\\\"\":\"\xc3\xa4\"}\n"));
    static const char *const wrong[] = {"",         "{\"a\":1,}", "[1,2",       "{\"a\":1,5}", "\"\xc3\"",
                                        "\"a\"b\"", "\"\n\"",     "[\"a\\q\"]", "[1]]",        "[1.]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(is_json(wrong[i]));
}

static char path[] = "/tmp/libdist-trace-XXXXXX";
static const int64_t base = 1000000000;

static char *read_all(void)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    fclose(file);
    assert_true(length > 0);
    return text;
}

static int times(const char *text, const char *part)
{
    int n = 0;
    for (; (text = strstr(text, part)); text += strlen(part))
        n++;
    return n;
}

static void run_spans(rank_state *s)
{
    char umlauts[202] =
        "a"; /* from there on two bytes each: a cut at any length halves one of the two names */
    dist_trace *trace = dist_trace_create();
    for (int i = 1; i < 201; i += 2)
        memcpy(umlauts + i, "\xc3\xa4", 2);
    dist_trace_span(trace, "step", base, base + 1234567);
    dist_trace_span(trace, "tab\there \x01 \\ \"quoted\"", base + 1000, base + 1000);
    dist_trace_span(trace, umlauts, base + 7, base + 6);
    dist_trace_span(trace, umlauts + 1, base, base);
    EXPECT(s, dist_trace_write(trace, &s->wire->base, s->topology, path, dist_deadline(20)) == DIST_OK);
    dist_trace_destroy(trace);
}

static void test_names_and_times(void **state)
{
    (void)state;
    rank_state alone;
    on_net(fake_net_create(1), run_spans, false, 20, &alone);
    char *text = read_all();
    assert_true(is_json(text));
    assert_non_null(strstr(text, "\"name\":\"step\",\"cat\":\"program\",\"pid\":0,\"tid\":0,\"ts\":0.000,"
                                 "\"dur\":1234.567,\"ph\":\"X\"}"));
    assert_non_null(strstr(text, "\"tabhere  \\\\ \\\"quoted\\\"\""));
    assert_non_null(strstr(text, "\"ts\":0.007,\"dur\":-0.001"));
    assert_non_null(strstr(text, "\"lost_events\":0"));
    free(text);
}

/* Each rank has another number of events, one rank none. */
static void run_ranks(rank_state *s)
{
    dist_trace *trace = dist_trace_create();
    for (int i = 0; i < s->rank * 3; i++)
        dist_trace_span(trace, "work", dist_now(), dist_now());
    EXPECT(s, dist_trace_write(trace, &s->wire->base, s->topology, path, dist_deadline(20)) == DIST_OK);
    dist_trace_destroy(trace);
}

static void test_all_ranks(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    on_ranks(run_ranks, false, 20, -1, ranks);
    char *text = read_all();
    assert_true(is_json(text));
    assert_int_equal(times(text, "\"name\":\"work\""), 3 + 6 + 9);
    assert_int_equal(times(text, "\"name\":\"work\",\"cat\":\"program\",\"pid\":3"), 9);
    assert_int_equal(times(text, "\"process_name\""), FAKE_RANKS);
    assert_int_equal(times(text, "rank 2, site1"), 1);
    assert_int_equal(times(text, "\"ts\":-"), 0);
    free(text);
}

static void run_nothing(rank_state *s)
{
    dist_trace *trace = dist_trace_create();
    dist_status status =
        dist_trace_write(trace, &s->wire->base, s->topology, "/no/such/folder/trace.json", dist_deadline(20));
    EXPECT(s, status == (s->rank == 0 ? DIST_ERR_IO : DIST_OK));
    EXPECT(s, s->rank != 0 || strstr(dist_last_error(), "/no/such/folder/trace.json"));
    EXPECT(s, dist_trace_write(trace, &s->wire->base, s->topology, path, dist_deadline(20)) == DIST_OK);
    dist_trace_destroy(trace);
    dist_trace_destroy(NULL);
}

static void test_no_events_and_no_file(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    on_ranks(run_nothing, false, 20, -1, ranks);
    char *text = read_all();
    assert_true(is_json(text));
    assert_int_equal(times(text, "\"ph\":\"X\""), 0);
    free(text);
}

/* A message from rank 0 to rank 1, and arithmetic: each in its lane, with a beginning and an end. */
static void run_ops(rank_state *s)
{
    dist_trace *trace = dist_trace_create();
    dist_plan *plan = dist_plan_create(s->rank, s->net->ranks, "ops");
    uint32_t buffer = dist_plan_add_buffer(plan, DIST_BUFFER_USER, 128, "data");
    if (s->rank < 2)
        (s->rank ? dist_plan_recv : dist_plan_send)(plan, DIST_CHANNEL_INSIDE, 1 - s->rank,
                                                    dist_slice_of(buffer, 0, 64));
    if (s->rank == 2)
        dist_plan_copy(plan, dist_slice_of(buffer, 0, 64), dist_slice_of(buffer, 64, 64));
    EXPECT(s, dist_plan_finish(plan) == DIST_OK);
    for (uint32_t op = 0; op < plan->ops; op++)
        dist_trace_op(trace, plan, op, base, base + 5);
    dist_plan_destroy(plan);
    EXPECT(s, dist_trace_write(trace, &s->wire->base, s->topology, path, dist_deadline(20)) == DIST_OK);
    dist_trace_destroy(trace);
}

static void test_ops(void **state)
{
    (void)state;
    rank_state ranks[FAKE_RANKS];
    on_ranks(run_ops, false, 20, -1, ranks);
    char *text = read_all();
    assert_true(is_json(text));
    assert_int_equal(
        times(text, "\"name\":\"SEND to 1, 64 B\",\"cat\":\"inside the site\",\"pid\":0,\"tid\":4"), 2);
    assert_int_equal(times(text, "\"name\":\"RECV from 0, 64 B\",\"cat\":\"inside the site\",\"pid\":1"), 2);
    assert_int_equal(times(text, "\"ph\":\"b\",\"id\":\"1.0\"}"), 1);
    assert_int_equal(times(text, "\"ph\":\"e\",\"id\":\"1.0\"}"), 1);
    assert_int_equal(
        times(text, "\"name\":\"COPY 64 B\",\"cat\":\"encode, decode, reduce\",\"pid\":2,\"tid\":1"), 1);
    assert_int_equal(times(text, "\"dur\":0.005"), 1);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_parser), cmocka_unit_test(test_names_and_times),
        cmocka_unit_test(test_all_ranks),  cmocka_unit_test(test_no_events_and_no_file),
        cmocka_unit_test(test_ops),
    };
    static const char *const comma[] = {"de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    for (size_t i = 0; i < sizeof comma / sizeof *comma && !setlocale(LC_NUMERIC, comma[i]); i++)
        continue; /* where the system has a locale that writes 1,5 the trace must not follow it */
    int file = mkstemp(path);
    if (file < 0)
        return 1;
    close(file);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
