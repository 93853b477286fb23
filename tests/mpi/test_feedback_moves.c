/* What averages keep goes to jobs of other ranks, sites, buckets and codecs, and nothing that is owed is lost. */
/* ranks: 2 4 */
#define _POSIX_C_SOURCE 200809L /* setenv */

#include "feedback_job.h"

/* Job `to` gives it while gradients are zero. */
static void assert_pays(const char *what, layout to, const parts *saved, const double *owed, double tolerance)
{
    const size_t n = elements();
    double *paid = calloc(n, sizeof *paid), most = 0, wrong = 0;
    size_t worst = 0;
    job *j = open_job(to);
    if (j->member) {
        assert_dist(load(j, saved, BY_TURNS));
        for (int step = 0; step < 8; step++) {
            average(j, -1);
            add_results(j, paid);
        }
        for (size_t k = 0; k < n; k++) {
            most = fmax(most, fabs(owed[k]));
            if (fabs(paid[k] - owed[k]) > wrong)
                wrong = fabs(paid[k] - owed[k]), worst = k;
        }
        if (!(wrong <= tolerance) || !(most > 10 * tolerance)) {
            print_error("%s: of at most %g, element %zu: %g was owed, %g was paid\n", what, most, worst,
                        owed[worst], paid[worst]);
            fail();
        }
    }
    free(paid);
    close_job(j);
}

/* Of all ranks or half of them, on so many sites at most. */
typedef struct place {
    int divisor, sites;
    const char *algo, *codec;
} place;

static const struct {
    const char *what;
    place from, to;
    dist_reduction reduction;
    double tolerance;
} moves[] = {
    {"other buckets", {1, 2, "hier", "int4"}, {1, 2, "hier", "int8:ef=fp32"}, DIST_AVERAGE, 1e-4},
    {"more sites", {1, 2, "hier", "int4"}, {1, 4, "hier", "int8:ef=fp32"}, DIST_AVERAGE, 1e-4},
    {"fewer sites", {1, 4, "hier", "int4"}, {1, 2, "hier", "int8:ef=fp32"}, DIST_AVERAGE, 1e-4},
    {"to bf16", {1, 2, "hier", "int4"}, {1, 2, "hier", "int8:ef=bf16"}, DIST_AVERAGE, 2e-3},
    {"from int8", {1, 2, "hier", "int4:ef=int8"}, {1, 2, "hier", "int8:ef=fp32"}, DIST_AVERAGE, 1e-2},
    {"to two shots", {1, 2, "hier", "int4"}, {1, 4, "hier:shots=2", "int8:ef=fp32"}, DIST_AVERAGE, 1e-4},
    {"two shots", {1, 4, "hier:shots=2", "int4"}, {1, 2, "hier:shots=2", "int8:ef=fp32"}, DIST_AVERAGE, 1e-4},
    {"from two shots", {1, 4, "hier:shots=2", "int4"}, {1, 2, "hier", "int8:ef=fp32"}, DIST_AVERAGE, 1e-4},
    {"sums", {1, 4, "hier:shots=2", "int4"}, {1, 2, "hier", "int8:ef=fp32"}, DIST_SUM, 1e-4},
    {"fewer ranks", {1, 2, "hier", "int4"}, {2, 4, "hier", "int8:ef=fp32"}, DIST_AVERAGE, 1e-4},
    {"fewer, sums", {1, 4, "hier:shots=2", "int4"}, {2, 4, "hier", "int8:ef=fp32"}, DIST_SUM, 1e-4},
    {"fewer, two shots", {1, 4, "hier:shots=2", "int4"}, {2, 4, "hier", "int8:ef=fp32"}, DIST_AVERAGE, 1e-4},
    {"more ranks", {2, 4, "hier:shots=2", "int4"}, {1, 4, "hier", "int8:ef=fp32"}, DIST_AVERAGE, 1e-4},
    {"more, sums", {2, 4, "hier", "int4"}, {1, 2, "hier", "int8:ef=fp32"}, DIST_SUM, 1e-4},
    {"powersgd",
     {1, 2, "auto", "powersgd:rank=2:dense=1"},
     {1, 4, "hier", "int8:ef=fp32"},
     DIST_AVERAGE,
     1e-4},
    {"powersgd, fewer",
     {1, 4, "auto", "powersgd:dense=0"},
     {2, 4, "hier", "int8:ef=fp32"},
     DIST_AVERAGE,
     1e-4},
};

static layout layout_of(place p, size_t bucket, dist_reduction reduction)
{
    const int n = ranks / p.divisor;
    return (layout){n, p.sites < n ? p.sites : n, p.algo, p.codec, bucket, reduction};
}

static void test_other_jobs_pay_what_is_owed(void **state)
{
    (void)state;
    double *owed = malloc(elements() * sizeof *owed);
    int moved = 0;
    for (size_t m = 0; m < sizeof moves / sizeof *moves; m++) {
        const layout from = layout_of(moves[m].from, 30000, moves[m].reduction);
        const layout to = layout_of(moves[m].to, 9000, moves[m].reduction);
        if (from.sites < 2 || to.sites < 2)
            continue; /* on one site nothing is owed */
        parts saved = run_from(from, owed);
        assert_pays(moves[m].what, to, &saved, owed, moves[m].tolerance);
        free_parts(&saved);
        moved++;
    }
    free(owed);
    assert_int_equal(moved, ranks == 2 ? 10 : (int)(sizeof moves / sizeof *moves)); /* half of two is one */
}

/* Through powersgd and back: other ranks and sites, nothing lost on the way but what it has no place for: vectors. */
static void test_powersgd_takes_and_gives(void **state)
{
    (void)state;
    const layout powersgd = {ranks, most_sites(2), "auto", "powersgd:rank=3:dense=0", 9000, DIST_AVERAGE};
    const layout more = {ranks, most_sites(4), "auto", "powersgd:rank=2:dense=0", 0, DIST_AVERAGE};
    const layout int8 = {ranks, most_sites(2), "hier", "int8:ef=fp32", 9000, DIST_AVERAGE};
    double *owed = malloc(elements() * sizeof *owed), *vector = owed;
    parts p = run_from((layout){ranks, most_sites(2), "hier", "int4", 30000, DIST_AVERAGE}, owed);
    for (int hop = 0; hop < 2; hop++) {
        job *j = open_job(hop ? more : powersgd);
        assert_dist(load(j, &p, BY_LAST));
        free_parts(&p);
        p = save(j);
        close_job(j);
    }
    for (int i = 0; i < PARAMETERS; i++)
        for (size_t k = 0; is_float(i) && k < shapes[i].count; k++, vector++)
            *vector = shapes[i].rows > 1 ? *vector : 0;
    assert_pays("through powersgd", int8, &p, owed, 1e-4);
    free_parts(&p);
    free(owed);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_jobs_pay_what_is_owed),
        cmocka_unit_test(test_powersgd_takes_and_gives),
    };
    setenv("DIST_CHUNK", "1K", 1); /* so that every rank of a site has a share of each bucket */
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
