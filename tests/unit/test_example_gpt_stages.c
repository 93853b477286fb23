/* The stages of examples/train_gpt, one after the other in one process, against the model in one piece. They
 * add the same numbers in the same order: what is compared with it is the same in all bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "layers.h"
#include "model.h"
#include "random.h"

/* Sizes just above the lanes in which loops are vectorized: whole lanes and a rest. */
static const gpt_config tiny = {
    .layers = 5, .heads = 2, .width = 18, .context = 17, .vocabulary = 19, .batch = 2, .untied = true};

enum { TOKENS = 34, STREAM = TOKENS * 18, MICROBATCHES = 3, MOST_STAGES = 5 };

static const float scale = 1.0f / (TOKENS * MICROBATCHES);

static unsigned char inputs[MICROBATCHES][TOKENS], targets[MICROBATCHES][TOKENS];

/* The model in one piece, its losses and the gradient over all microbatches. */
struct whole {
    gpt_model model;
    float *gradients;
    double loss[MICROBATCHES];
};

/* One stage with what all microbatches leave: their activations, what came in, and the gradient of that. */
struct stage {
    gpt_model model;
    float *gradients;
    gpt_activations activations[MICROBATCHES];
    float in[MICROBATCHES][STREAM], in_gradient[MICROBATCHES][STREAM];
};

struct pipeline {
    int stages;
    struct stage *stage;
    double loss[MICROBATCHES];
};

/* NaN: the first microbatch sets gradients, whatever was there. */
static float *make_gradients(gpt_model *model)
{
    float *gradients = malloc(model->weights_count * sizeof *gradients);
    assert_non_null(gradients);
    for (size_t i = 0; i < model->weights_count; i++)
        gradients[i] = NAN;
    for (size_t i = 0; i < model->parameters_count; i++)
        model->parameters[i].gradient = gradients + (model->parameters[i].weight - model->weights);
    return gradients;
}

/* Larger than first weights of a training, so that attention and GELU are far from linear. */
static void draw_weights(gpt_model *model)
{
    for (size_t p = 0; p < model->parameters_count; p++)
        for (size_t i = 0; i < model->parameters[p].count; i++)
            model->parameters[p].weight[i] =
                model->parameters[p].constant + (float)(gpt_random_unit(gpt_random(7, p, i)) - 0.5) * 1.2f;
}

static void set_up_whole(struct whole *w)
{
    gpt_blas_single_thread();
    for (size_t m = 0; m < MICROBATCHES; m++)
        for (size_t i = 0; i < TOKENS; i++) {
            inputs[m][i] = (unsigned char)(gpt_random(8, 2 * m, i) % tiny.vocabulary);
            targets[m][i] = (unsigned char)(gpt_random(8, 2 * m + 1, i) % tiny.vocabulary);
        }
    assert_true(gpt_model_create(&w->model, &tiny));
    draw_weights(&w->model);
    w->gradients = make_gradients(&w->model);
    for (int m = 0; m < MICROBATCHES; m++) {
        w->loss[m] = gpt_forward(&w->model, tiny.batch, inputs[m], targets[m]);
        gpt_backward(&w->model, tiny.batch, inputs[m], targets[m], scale, m > 0, NULL, NULL);
    }
}

static void tear_down_whole(struct whole *w)
{
    gpt_model_destroy(&w->model);
    free(w->gradients);
}

/* first: [stages + 1] */
static void set_up_pipeline(struct pipeline *p, int stages, const size_t *first, bool split)
{
    p->stages = stages;
    p->stage = calloc((size_t)stages, sizeof *p->stage);
    assert_non_null(p->stage);
    for (int s = 0; s < stages; s++) {
        struct stage *stage = &p->stage[s];
        gpt_config config = tiny;
        config.first = first[s];
        config.end = first[s + 1];
        assert_true(gpt_model_create(&stage->model, &config));
        draw_weights(&stage->model);
        stage->gradients = make_gradients(&stage->model);
        for (int m = 0; m < MICROBATCHES; m++)
            assert_true(gpt_activations_create(&stage->activations[m], &config, split));
    }
}

static void tear_down_pipeline(struct pipeline *p)
{
    for (int s = 0; s < p->stages; s++) {
        gpt_model_destroy(&p->stage[s].model);
        free(p->stage[s].gradients);
        for (int m = 0; m < MICROBATCHES; m++)
            gpt_activations_destroy(&p->stage[s].activations[m]);
    }
    free(p->stage);
}

static void forward(struct pipeline *p, int m)
{
    for (int s = 0; s < p->stages; s++) {
        struct stage *stage = &p->stage[s];
        const bool last = s + 1 == p->stages;
        stage->model.active = &stage->activations[m];
        const double loss =
            gpt_stage_forward(&stage->model, tiny.batch, s ? stage->in[m] : NULL, s ? NULL : inputs[m],
                              last ? NULL : p->stage[s + 1].in[m], last ? targets[m] : NULL);
        p->loss[m] = last ? loss : p->loss[m];
        assert_true(last || loss == 0);
    }
}

static void backward(struct pipeline *p, int s, int m, gpt_part part)
{
    struct stage *stage = &p->stage[s];
    const bool last = s + 1 == p->stages;
    stage->model.active = &stage->activations[m];
    gpt_stage_backward(&stage->model, part, tiny.batch, s ? stage->in[m] : NULL, s ? NULL : inputs[m],
                       last ? NULL : p->stage[s + 1].in_gradient[m], s ? stage->in_gradient[m] : NULL,
                       last ? targets[m] : NULL, scale, m > 0, NULL, NULL);
}

static void assert_same(const struct pipeline *p, const struct whole *w)
{
    size_t held = 0;
    assert_memory_equal(p->loss, w->loss, sizeof w->loss);
    for (int s = 0; s < p->stages; s++)
        for (size_t i = 0; i < w->model.parameters_count; i++) {
            const gpt_parameter *part = &p->stage[s].model.parameters[i], *all = &w->model.parameters[i];
            if (part->count == 0)
                continue;
            held += part->count;
            assert_int_equal(part->count, all->count);
            for (size_t k = 0; k < all->count; k++)
                assert_true(isfinite(all->gradient[k]));
            if (memcmp(part->gradient, all->gradient, all->count * sizeof *all->gradient) != 0)
                fail_msg("%d stages: the gradient of %s on stage %d differs", p->stages, all->name, s);
        }
    assert_int_equal(held, w->model.weights_count); /* each is on one stage, none is lost */
}

static const struct split {
    int stages;
    size_t first[MOST_STAGES + 1];
} splits[] = {
    {1, {0, 5}}, {2, {0, 2, 5}}, {3, {0, 1, 4, 5}}, {4, {0, 1, 2, 3, 5}}, {5, {0, 1, 2, 3, 4, 5}},
};

enum { SPLITS = sizeof splits / sizeof *splits };

/* As GPipe does: all forwards, then all backwards. */
static void stages_have_the_gradients_of_the_whole(void **state)
{
    (void)state;
    struct whole w;
    set_up_whole(&w);
    for (int i = 0; i < SPLITS; i++) {
        struct pipeline p = {0};
        set_up_pipeline(&p, splits[i].stages, splits[i].first, false);
        for (int m = 0; m < MICROBATCHES; m++)
            forward(&p, m);
        for (int m = 0; m < MICROBATCHES; m++)
            for (int s = p.stages; s-- > 0;)
                backward(&p, s, m, GPT_BOTH);
        assert_same(&p, &w);
        tear_down_pipeline(&p);
    }
    tear_down_whole(&w);
}

/* The weights of a microbatch after the inputs of all of them: what is kept for them must not be written over. */
static void gradients_of_weights_may_come_late(void **state)
{
    (void)state;
    struct whole w;
    set_up_whole(&w);
    for (int i = 0; i < SPLITS; i++) {
        struct pipeline p = {0};
        set_up_pipeline(&p, splits[i].stages, splits[i].first, true);
        for (int m = 0; m < MICROBATCHES; m++)
            forward(&p, m);
        for (int m = 0; m < MICROBATCHES; m++)
            for (int s = p.stages; s-- > 0;)
                backward(&p, s, m, GPT_INPUTS);
        for (int s = 0; s < p.stages; s++)
            for (int m = 0; m < MICROBATCHES; m++)
                backward(&p, s, m, GPT_WEIGHTS);
        assert_same(&p, &w);
        tear_down_pipeline(&p);
    }
    tear_down_whole(&w);
}

/* As 1F1B does: forwards of later microbatches between the backwards of earlier ones. */
static void microbatches_under_way_do_not_meet(void **state)
{
    (void)state;
    struct whole w;
    set_up_whole(&w);
    for (int i = 0; i < SPLITS; i++) {
        struct pipeline p = {0};
        set_up_pipeline(&p, splits[i].stages, splits[i].first, true);
        forward(&p, 0);
        for (int m = 0; m < MICROBATCHES; m++) {
            if (m + 1 < MICROBATCHES)
                forward(&p, m + 1);
            for (int s = p.stages; s-- > 0;) {
                backward(&p, s, m, GPT_INPUTS);
                if (m > 0)
                    backward(&p, s, m - 1, GPT_WEIGHTS);
            }
        }
        for (int s = 0; s < p.stages; s++)
            backward(&p, s, MICROBATCHES - 1, GPT_WEIGHTS);
        assert_same(&p, &w);
        tear_down_pipeline(&p);
    }
    tear_down_whole(&w);
}

/* A stage draws the first weights that its parameters have in the whole model. */
static void first_weights_do_not_depend_on_the_split(void **state)
{
    (void)state;
    gpt_model whole;
    assert_true(gpt_model_create(&whole, &tiny));
    gpt_model_initialize(&whole, 5);
    for (int i = 0; i < SPLITS; i++)
        for (int s = 0; s < splits[i].stages; s++) {
            gpt_config config = tiny;
            gpt_model stage;
            config.first = splits[i].first[s];
            config.end = splits[i].first[s + 1];
            assert_true(gpt_model_create(&stage, &config));
            gpt_model_initialize(&stage, 5);
            for (size_t n = 0; n < stage.parameters_count; n++)
                assert_memory_equal(stage.parameters[n].weight, whole.parameters[n].weight,
                                    stage.parameters[n].count * sizeof(float));
            gpt_model_destroy(&stage);
        }
    gpt_model_destroy(&whole);
}

/* The gradient of what enters a stage, by differences of the loss. */
static void gradients_of_inputs_match_differences(void **state)
{
    (void)state;
    struct whole w;
    struct pipeline p = {0};
    const float h = 0.015625f;
    set_up_whole(&w);
    set_up_pipeline(&p, splits[1].stages, splits[1].first, true);
    struct stage *last = &p.stage[1];
    for (int part = 0; part < 2; part++) {
        double difference = 0, size = 0;
        forward(&p, 0);
        backward(&p, 1, 0, part ? GPT_INPUTS : GPT_BOTH);
        for (size_t i = 0; i < STREAM; i += 7) {
            float *x = &last->in[0][i];
            const float kept = *x;
            double loss[4];
            for (int k = 0; k < 4; k++) {
                *x = kept + h * (float)(k < 2 ? k - 2 : k - 1);
                loss[k] = gpt_stage_forward(&last->model, tiny.batch, last->in[0], NULL, NULL, targets[0]);
            }
            *x = kept;
            const double slope = (8 * (loss[2] - loss[1]) - (loss[3] - loss[0])) / (12 * (double)h);
            difference += pow((double)last->in_gradient[0][i] * MICROBATCHES - slope, 2);
            size += slope * slope;
        }
        assert_true(size > 0);
        assert_true(sqrt(difference / size) < 2e-3);
    }
    tear_down_pipeline(&p);
    tear_down_whole(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_have_the_gradients_of_the_whole),
        cmocka_unit_test(gradients_of_weights_may_come_late),
        cmocka_unit_test(microbatches_under_way_do_not_meet),
        cmocka_unit_test(first_weights_do_not_depend_on_the_split),
        cmocka_unit_test(gradients_of_inputs_match_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
