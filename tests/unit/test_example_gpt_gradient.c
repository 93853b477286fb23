/* The gradients of examples/train_gpt against numerical differences of its loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "adamw.h"
#include "layers.h"
#include "model.h"
#include "random.h"

/* Sizes just above the lanes in which loops are vectorized: whole lanes and a rest. */
static const gpt_config tiny = {
    .layers = 2, .heads = 2, .width = 18, .context = 17, .vocabulary = 19, .batch = 2};

enum { TOKENS = 34 }; /* batch * context */

struct fixture {
    gpt_model model;
    float *gradients;
    unsigned char inputs[TOKENS], targets[TOKENS];
};

static void point_gradients(struct fixture *f, float *gradients)
{
    for (size_t i = 0; i < f->model.parameters_count; i++) {
        gpt_parameter *p = &f->model.parameters[i];
        p->gradient = gradients + (p->weight - f->model.weights);
    }
}

/* First weights are larger than those of a training, so that attention and GELU are far from linear. */
static void set_up(struct fixture *f, bool untied)
{
    gpt_config config = tiny;
    config.untied = untied;
    gpt_blas_single_thread();
    assert_true(gpt_model_create(&f->model, &config));
    for (size_t p = 0; p < f->model.parameters_count; p++) {
        gpt_parameter *parameter = &f->model.parameters[p];
        for (size_t i = 0; i < parameter->count; i++)
            parameter->weight[i] =
                parameter->constant + (float)(gpt_random_unit(gpt_random(7, p, i)) - 0.5) * 1.2f;
    }
    f->gradients = malloc(f->model.weights_count * sizeof *f->gradients);
    assert_non_null(f->gradients);
    for (size_t i = 0; i < f->model.weights_count; i++)
        f->gradients[i] = NAN; /* backward writes: what was there before must not count */
    point_gradients(f, f->gradients);
    for (size_t i = 0; i < TOKENS; i++) {
        f->inputs[i] = (unsigned char)(gpt_random(8, 0, i) % tiny.vocabulary);
        f->targets[i] = (unsigned char)(gpt_random(8, 1, i) % tiny.vocabulary);
    }
}

static void tear_down(struct fixture *f)
{
    gpt_model_destroy(&f->model);
    free(f->gradients);
}

static double loss_at(struct fixture *f, float *weight, float value)
{
    const float kept = *weight;
    *weight = value;
    const double loss = gpt_forward(&f->model, tiny.batch, f->inputs, f->targets);
    *weight = kept;
    return loss;
}

/* Central differences of fourth order: a step large enough to rise above float32's rounding of the loss still
 * has a small error of its own. */
static double numerical_gradient(struct fixture *f, float *weight)
{
    const float h = 0.015625f, w = *weight;
    const double near = loss_at(f, weight, w + h) - loss_at(f, weight, w - h);
    const double far = loss_at(f, weight, w + 2 * h) - loss_at(f, weight, w - 2 * h);
    return (8 * near - far) / (12 * (double)h);
}

static double *numerical_gradients(struct fixture *f)
{
    double *numerical = malloc(f->model.weights_count * sizeof *numerical);
    assert_non_null(numerical);
    for (size_t i = 0; i < f->model.weights_count; i++)
        numerical[i] = numerical_gradient(f, f->model.weights + i);
    return numerical;
}

/* |computed - numerical| / |numerical| of one tensor, as vectors. */
static double error_of(const struct fixture *f, const gpt_parameter *p, const double *numerical)
{
    double difference = 0, size = 0;
    numerical += p->weight - f->model.weights;
    for (size_t i = 0; i < p->count; i++) {
        difference += pow((double)p->gradient[i] - numerical[i], 2);
        size += numerical[i] * numerical[i];
    }
    assert_true(size > 0);
    return sqrt(difference / size);
}

static const double tolerance = 2e-3;

static void backward(struct fixture *f, size_t first, size_t batch, float scale, bool add)
{
    const size_t offset = first * tiny.context;
    gpt_forward(&f->model, batch, f->inputs + offset, f->targets + offset);
    gpt_backward(&f->model, batch, f->inputs + offset, f->targets + offset, scale, add, NULL, NULL);
}

/* The check itself must notice a lost element and an error of a hundredth. Leaves the gradient spoiled. */
static void assert_errors_are_noticed(const struct fixture *f, const gpt_parameter *p,
                                      const double *numerical)
{
    size_t largest = 0;
    for (size_t i = 1; i < p->count; i++)
        if (fabsf(p->gradient[i]) > fabsf(p->gradient[largest]))
            largest = i;
    const float kept = p->gradient[largest];
    p->gradient[largest] = 0.0f;
    assert_true(error_of(f, p, numerical) > tolerance);
    p->gradient[largest] = kept;
    for (size_t i = 0; i < p->count; i++)
        p->gradient[i] *= 1.01f;
    assert_true(error_of(f, p, numerical) > tolerance);
}

static void check_all_tensors(bool untied)
{
    struct fixture f;
    set_up(&f, untied);
    backward(&f, 0, tiny.batch, 1.0f / TOKENS, false);
    double *numerical = numerical_gradients(&f);
    for (size_t i = 0; i < f.model.parameters_count; i++) {
        const gpt_parameter *p = &f.model.parameters[i];
        const double error = error_of(&f, p, numerical);
        if (!(error < tolerance))
            fail_msg("%s: relative error %g", p->name, error);
        assert_errors_are_noticed(&f, p, numerical);
    }
    free(numerical);
    tear_down(&f);
}

static void gradients_of_a_tied_model_match_differences(void **state)
{
    (void)state;
    check_all_tensors(false);
}

static void gradients_of_an_untied_model_match_differences(void **state)
{
    (void)state;
    check_all_tensors(true);
}

static void assert_near(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(a[i] - b[i]) <= 1e-6f + 1e-5f * fabsf(b[i])))
            fail_msg("element %zu: %.9g is not %.9g", i, (double)a[i], (double)b[i]);
}

/* The average of two ranks' gradients over halves of a batch, and the sum over two parts on one rank, are the
 * gradient over the whole batch. */
static void a_split_batch_gives_the_same_gradient(void **state)
{
    (void)state;
    for (int untied = 0; untied < 2; untied++) {
        struct fixture f;
        set_up(&f, untied);
        const size_t count = f.model.weights_count, half = tiny.batch / 2;
        float *other = malloc(2 * count * sizeof *other);
        assert_non_null(other);
        backward(&f, 0, tiny.batch, 1.0f / TOKENS, false);
        point_gradients(&f, other);
        backward(&f, 0, half, 2.0f / TOKENS, false);
        point_gradients(&f, other + count);
        backward(&f, half, half, 2.0f / TOKENS, false);
        for (size_t i = 0; i < count; i++)
            other[i] = (other[i] + other[count + i]) / 2;
        assert_near(other, f.gradients, count);

        backward(&f, 0, half, 1.0f / TOKENS, false);
        backward(&f, half, half, 1.0f / TOKENS, true);
        assert_near(other + count, f.gradients, count);
        free(other);
        tear_down(&f);
    }
}

struct readiness {
    struct fixture *fixture;
    size_t calls[64];
    size_t last;
    float *copy; /* of each gradient when it became ready */
};

static void note_ready(void *user, size_t parameter)
{
    struct readiness *r = user;
    const gpt_parameter *p = &r->fixture->model.parameters[parameter];
    assert_true(parameter < sizeof r->calls / sizeof *r->calls);
    r->calls[parameter]++;
    r->last = parameter;
    memcpy(r->copy + (p->weight - r->fixture->model.weights), p->gradient, p->count * sizeof *p->gradient);
}

static void each_gradient_is_complete_when_it_is_ready(void **state)
{
    (void)state;
    for (int untied = 0; untied < 2; untied++) {
        struct fixture f;
        set_up(&f, untied);
        struct readiness r = {.fixture = &f, .copy = calloc(f.model.weights_count, sizeof(float))};
        assert_non_null(r.copy);
        gpt_forward(&f.model, tiny.batch, f.inputs, f.targets);
        gpt_backward(&f.model, tiny.batch, f.inputs, f.targets, 1.0f / TOKENS, false, note_ready, &r);
        for (size_t i = 0; i < f.model.parameters_count; i++)
            assert_int_equal(r.calls[i], 1);
        assert_int_equal(r.last, GPT_TOKEN);
        assert_memory_equal(r.copy, f.gradients, f.model.weights_count * sizeof *r.copy);
        free(r.copy);
        tear_down(&f);
    }
}

static void one_batch_is_learned_by_heart(void **state)
{
    (void)state;
    struct fixture f;
    gpt_adamw optimizer;
    set_up(&f, false);
    gpt_model_initialize(&f.model, 3);
    assert_true(gpt_adamw_create(&optimizer, &f.model, 0.0));
    double first = 0, last = 0;
    for (int step = 0; step < 300; step++) {
        last = gpt_forward(&f.model, tiny.batch, f.inputs, f.targets);
        first = step ? first : last;
        gpt_backward(&f.model, tiny.batch, f.inputs, f.targets, 1.0f / TOKENS, false, NULL, NULL);
        gpt_adamw_step(&optimizer, &f.model, 0.01);
    }
    assert_true(fabs(first - log((double)tiny.vocabulary)) < 0.1);
    assert_true(last < 0.2);
    gpt_adamw_destroy(&optimizer);
    tear_down(&f);
}

/* After one step from zero moments, AdamW moves each weight by the learning rate against its gradient's sign;
 * only matrices decay. */
static void the_first_step_of_adamw_is_known(void **state)
{
    (void)state;
    struct fixture f;
    gpt_adamw optimizer;
    const double rate = 0.01, decay = 0.5;
    set_up(&f, true);
    backward(&f, 0, tiny.batch, 1.0f / TOKENS, false);
    float *before = malloc(f.model.weights_count * sizeof *before);
    assert_non_null(before);
    memcpy(before, f.model.weights, f.model.weights_count * sizeof *before);
    assert_true(gpt_adamw_create(&optimizer, &f.model, decay));
    gpt_adamw_step(&optimizer, &f.model, rate);
    for (size_t p = 0; p < f.model.parameters_count; p++) {
        const gpt_parameter *parameter = &f.model.parameters[p];
        const float *old = before + (parameter->weight - f.model.weights);
        for (size_t i = 0; i < parameter->count; i++) {
            const double g = (double)parameter->gradient[i];
            const double kept = parameter->rows ? 1.0 - rate * decay : 1.0;
            const double expected = (double)old[i] * kept - rate * g / (fabs(g) + 1e-8);
            assert_true(fabs((double)parameter->weight[i] - expected) < 1e-5);
        }
    }
    free(before);
    gpt_adamw_destroy(&optimizer);
    tear_down(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_a_tied_model_match_differences),
        cmocka_unit_test(gradients_of_an_untied_model_match_differences),
        cmocka_unit_test(a_split_batch_gives_the_same_gradient),
        cmocka_unit_test(each_gradient_is_complete_when_it_is_ready),
        cmocka_unit_test(one_batch_is_learned_by_heart),
        cmocka_unit_test(the_first_step_of_adamw_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
