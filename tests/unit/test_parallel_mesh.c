/* Meshes: what their text means, and which order of the axes is the faster one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/error.h"
#include "parallel/pipeline_internal.h"

static void text_is_read(void **unused)
{
    dist_mesh mesh;
    (void)unused;
    assert_int_equal(dist_mesh_parse("pp:4,dp:2", 8, &mesh), DIST_OK);
    assert_true(mesh.positions == 4 && mesh.replicas == 2 && mesh.outer && mesh.chosen);
    assert_int_equal(dist_mesh_rank(&mesh, 3, 1), 7);
    assert_int_equal(dist_mesh_position(&mesh, 5), 2);
    assert_int_equal(dist_mesh_replica(&mesh, 5), 1);
    assert_int_equal(dist_mesh_parse("dp:2,pp:4", 8, &mesh), DIST_OK);
    assert_true(mesh.positions == 4 && mesh.replicas == 2 && !mesh.outer && mesh.chosen);
    assert_int_equal(dist_mesh_rank(&mesh, 3, 1), 7);
    assert_int_equal(dist_mesh_position(&mesh, 5), 1);
    assert_int_equal(dist_mesh_replica(&mesh, 5), 1);
    assert_int_equal(dist_mesh_parse("pp:4", 8, &mesh), DIST_OK);
    assert_true(mesh.positions == 4 && mesh.replicas == 2 && !mesh.chosen);
    assert_int_equal(dist_mesh_parse("pp:8", 8, &mesh), DIST_OK);
    assert_true(mesh.replicas == 1 && mesh.chosen); /* there is nothing to choose */
    assert_int_equal(dist_mesh_parse(NULL, 3, &mesh), DIST_OK);
    assert_true(mesh.positions == 3 && mesh.replicas == 1);
    assert_int_equal(dist_mesh_parse("dp:3", 3, &mesh), DIST_OK);
    assert_true(mesh.positions == 1 && mesh.replicas == 3);
}

static void every_rank_has_one_place(void **unused)
{
    (void)unused;
    for (int outer = 0; outer < 2; outer++)
        for (int r = 0; r < 15; r++) {
            const dist_mesh mesh = {.positions = 5, .replicas = 3, .outer = outer};
            const int p = dist_mesh_position(&mesh, r), d = dist_mesh_replica(&mesh, r);
            assert_true(p >= 0 && p < 5 && d >= 0 && d < 3);
            assert_int_equal(dist_mesh_rank(&mesh, p, d), r);
        }
}

static void nonsense_is_refused(void **unused)
{
    static const char *const bad[] = {"",          "pp",         "pp:",
                                      "pp:0",      "pp:2,pp:2",  "pp:2,dp:2,tp:2",
                                      "pp:2;dp:2", "pp:-2",      "pp:2, dp:2",
                                      "tp:4",      "pp:3",       "pp:2,dp:3",
                                      "pp:2x",     "dp:2,pp:2,", "pp:99999999999999999999"};
    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dist_mesh mesh;
        assert_int_equal(dist_mesh_parse(bad[i], 4, &mesh), DIST_ERR_ARGUMENT);
        assert_non_null(strstr(dist_last_error(), "mesh"));
    }
}

static dist_status nothing(void *user, dist_pipeline_call *call)
{
    (void)user;
    (void)call;
    return DIST_OK;
}

/* Two sites of two ranks. */
static void order_of(size_t boundary, size_t gradients, bool *outer, char why[200])
{
    dist_pipeline_options options = DIST_PIPELINE_OPTIONS_INIT;
    static const dist_stage_times times[2] = {{0.01, 0.01, 0.01}, {0.01, 0.01, 0.01}};
    dist_link links[4] = {{1e-6, 1e10}, {1e-3, 1e7}, {1e-3, 1e7}, {1e-6, 1e10}};
    dist_topology *topology;
    dist_pipeline_layout layout;
    assert_int_equal(dist_topology_describe(&topology, "2x2"), DIST_OK);
    topology->link = links;
    options.mesh = "pp:2";
    options.schedule = "1f1b";
    options.microbatches = 8;
    options.boundary_count = boundary;
    options.gradient_bytes = gradients;
    options.times = times;
    options.forward = options.backward_input = nothing;
    dist_pipeline_setup setup = {.topology = topology, .rank = 2, .one_way = 65536, .options = &options};
    assert_int_equal(dist_algo_parse("hier", &setup.spec.algo), DIST_OK);
    assert_int_equal(dist_codec_parse("none", DIST_SIMD_AUTO, &setup.codec), DIST_OK);
    setup.spec.codec = setup.codec;
    if (dist_pipeline_layout_choose(&layout, &setup) < 0)
        fail_msg("%s", dist_last_error());
    *outer = layout.mesh.outer;
    assert_int_equal(layout.rank_at[0], layout.mesh.outer ? 0 : 2);
    memcpy(why, layout.why, 200);
    dist_pipeline_layout_end(&layout);
    topology->link = NULL;
    dist_topology_destroy(topology);
}

static void the_faster_order_is_taken(void **unused)
{
    bool outer;
    char why[200];
    (void)unused;
    order_of(256, 1 << 20, &outer, why); /* activations are small, gradients large */
    assert_true(outer);
    assert_non_null(strstr(why, "s with pp:2,dp:2"));
    order_of(1 << 20, 1024, &outer, why); /* and the other way round */
    assert_false(outer);
    assert_non_null(strstr(why, "s with dp:2,pp:2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_read),
        cmocka_unit_test(every_rank_has_one_place),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(the_faster_order_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
