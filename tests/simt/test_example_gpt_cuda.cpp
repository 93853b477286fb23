/* The model of examples/train_gpt_cuda, its kernels run here and its cuBLAS calls made of CBLAS (gpt/), against that
 * of examples/train_gpt: losses, every gradient, weights after some steps. */
#include "simt_test.h"

#include <math.h>
#include <stdlib.h>

#include <vector>

extern "C" {
#include "device_model.h"
#include "layers.h"
#include "model.h"
#include "random.h"
}
#include "gpt/stand_in.h"

/* Rows of several warps and of more than a block's threads, none of them whole; columns of several blocks. */
static gpt_config config_of(bool untied, size_t layers)
{
    gpt_config config = {};
    config.layers = layers;
    config.heads = 2;
    config.width = 72;
    config.context = 37;
    config.vocabulary = 41;
    config.batch = 2;
    config.untied = untied;
    return config;
}

static const size_t tokens = 2 * 37;

/* Both models with the same weights, and sequences for them. */
struct pair {
    gpt_model cpu;
    gpt_device device;
    gpt_device_model gpu;
    std::vector<float> cpu_gradients, gpu_gradients;
    unsigned char inputs[tokens], targets[tokens];
    double loss; /* the device's */

    explicit pair(bool untied, size_t layers = 2);
    ~pair();
    pair(const pair &) = delete;
    pair &operator=(const pair &) = delete;
    gpt_device_sequences sequences() const
    {
        return {2, inputs, targets};
    }
    void fill_gradients(float value)
    {
        cpu_gradients.assign(cpu.weights_count, value);
        gpu_gradients.assign(cpu.weights_count, value);
        for (size_t i = 0; i < cpu.parameters_count; i++) {
            const size_t offset = static_cast<size_t>(cpu.parameters[i].weight - cpu.weights);
            cpu.parameters[i].gradient = cpu_gradients.data() + offset;
            gpu.gradients[i] = gpu_gradients.data() + offset;
        }
    }
};

/* First weights are larger than those of a training, so that attention and GELU are far from linear. */
pair::pair(bool untied, size_t layers) : loss(NAN)
{
    const gpt_config config = config_of(untied, layers);
    gpt_blas_single_thread();
    assert_true(gpt_model_create(&cpu, &config));
    assert_true(gpt_device_open(&device, 0));
    assert_true(gpt_device_model_create(&gpu, &device, &config));
    assert_int_equal(gpu.host.weights_count, cpu.weights_count);
    for (size_t p = 0; p < cpu.parameters_count; p++) {
        gpt_parameter *parameter = &cpu.parameters[p];
        for (size_t i = 0; i < parameter->count; i++)
            parameter->weight[i] =
                parameter->constant + static_cast<float>(gpt_random_unit(gpt_random(7, p, i)) - 0.5) * 0.6f;
    }
    memcpy(gpu.host.weights, cpu.weights, cpu.weights_count * sizeof *cpu.weights);
    assert_true(gpt_device_model_upload(&gpu));
    for (size_t i = 0; i < tokens; i++) {
        inputs[i] = static_cast<unsigned char>(gpt_random(8, 0, i) % config.vocabulary);
        targets[i] = static_cast<unsigned char>(gpt_random(8, 1, i) % config.vocabulary);
    }
    fill_gradients(NAN); /* backward writes: what was there before must not count */
}

pair::~pair()
{
    gpt_device_model_destroy(&gpu);
    gpt_device_close(&device);
    gpt_model_destroy(&cpu);
}

static const float scale = 1.0f / static_cast<float>(tokens);

static double pass_cpu(pair &p, bool add)
{
    const double loss = gpt_forward(&p.cpu, 2, p.inputs, p.targets);
    gpt_backward(&p.cpu, 2, p.inputs, p.targets, scale, add, nullptr, nullptr);
    return loss;
}

static void pass_gpu(pair &p, bool add, gpt_gradient_ready *ready = nullptr, void *user = nullptr)
{
    gpt_device_forward(&p.gpu, p.sequences(), &p.loss, 1.0, add);
    gpt_device_backward(&p.gpu, p.sequences(), scale, add, ready, user);
    assert_true(gpt_device_wait(&p.device));
    assert_int_equal(cudaGetLastError(), cudaSuccess); /* the shim's */
}

/* |found - wanted| / |wanted| as vectors; infinite where one is not a number. */
static double error_of(const float *found, const float *wanted, size_t count)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += pow(static_cast<double>(found[i]) - static_cast<double>(wanted[i]), 2);
        size += pow(static_cast<double>(wanted[i]), 2);
    }
    const double error = sqrt(difference / size);
    return error >= 0 ? error : HUGE_VAL;
}

static double worst_gradient(const pair &p)
{
    double worst = 0;
    for (size_t i = 0; i < p.cpu.parameters_count; i++) {
        const gpt_parameter *parameter = &p.cpu.parameters[i];
        const double error = error_of(p.gpu.gradients[i], parameter->gradient, parameter->count);
        worst = error > worst ? error : worst;
    }
    return worst;
}

/* Sums of at most 288 terms in another order, 2^-24 each; cancellation makes it tens of times that. */
static const double loss_tolerance = 1e-6, gradient_tolerance = 1e-5;

static bool same_bits(const std::vector<float> &a, const std::vector<float> &b)
{
    return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof a[0]) == 0;
}

static void check_pass(bool untied, bool add)
{
    std::vector<float> first;
    for (const simt::named_order &order : simt::orders) {
        pair p(untied);
        if (add) { /* to the gradient and the loss of the same pass */
            pass_cpu(p, false);
            pass_gpu(p, false);
        }
        simt::set_order(order.by, order.seed);
        const double wanted = pass_cpu(p, add) * (add ? 2 : 1);
        pass_gpu(p, add);
        const double loss_error = fabs(p.loss - wanted) / wanted, gradient_error = worst_gradient(p);
        print_message("%s%s, %s: loss %.9g differs by %.1e, the worst gradient by %.1e\n",
                      untied ? "untied" : "tied", add ? ", added" : "", order.name, p.loss, loss_error,
                      gradient_error);
        assert_true(loss_error <= loss_tolerance);
        assert_true(gradient_error <= gradient_tolerance);
        if (first.empty())
            first = p.gpu_gradients;
        assert_true(same_bits(first, p.gpu_gradients));
    }
}

static void a_pass_gives_the_gradients_of_the_cpu(void **)
{
    check_pass(false, false);
    check_pass(true, false);
}

static void gradients_are_added(void **)
{
    check_pass(false, true);
    check_pass(true, true);
}

struct readiness {
    const pair *of;
    std::vector<unsigned> calls;
    std::vector<float> copy; /* of each gradient when it became ready */
    size_t last;
};

static void note_ready(void *user, size_t parameter)
{
    readiness *const r = static_cast<readiness *>(user);
    const gpt_parameter *const p = &r->of->cpu.parameters[parameter];
    r->calls[parameter]++;
    r->last = parameter;
    memcpy(r->copy.data() + (p->weight - r->of->cpu.weights), r->of->gpu.gradients[parameter],
           p->count * sizeof(float));
}

static void each_gradient_is_queued_before_it_is_ready(void **)
{
    simt::set_order(simt::order::forward);
    for (const bool untied : {false, true}) {
        pair p(untied);
        readiness r = {&p, std::vector<unsigned>(p.cpu.parameters_count),
                       std::vector<float>(p.cpu.weights_count), 0};
        pass_gpu(p, false, note_ready, &r);
        for (const unsigned calls : r.calls)
            assert_int_equal(calls, 1);
        assert_int_equal(r.last, GPT_TOKEN);
        assert_true(same_bits(r.copy, p.gpu_gradients));
    }
}

/* The gradient is small nowhere, or AdamW would make much of its rounding; so steps begin with that of the CPU. */
static void steps_of_adamw_agree(void **)
{
    simt::set_order(simt::order::random, 3);
    pair p(true);
    gpt_adamw cpu;
    gpt_device_adamw gpu;
    assert_true(gpt_adamw_create(&cpu, &p.cpu, 0.5));
    assert_true(gpt_device_adamw_create(&gpu, &p.gpu, 0.5));
    for (int step = 0; step < 3; step++) {
        pass_cpu(p, false);
        p.gpu_gradients = p.cpu_gradients; /* the same place: pointers stay */
        gpt_adamw_step(&cpu, &p.cpu, 0.01);
        gpt_device_adamw_step(&gpu, &p.gpu, 0.01);
    }
    assert_true(gpt_device_model_download(&p.gpu));
    const double error = error_of(p.gpu.host.weights, p.cpu.weights, p.cpu.weights_count);
    print_message("weights after 3 steps differ by %.1e\n", error);
    assert_true(error <= 1e-7);
    gpt_device_adamw_destroy(&gpu);
    gpt_adamw_destroy(&cpu);
}

/* The test of the test: one term too few in any product is more than the tolerance. */
static void each_product_counts(void **)
{
    simt::set_order(simt::order::forward);
    pair p(true, 1);
    const double wanted = pass_cpu(p, false);
    stand_in_products = 0;
    pass_gpu(p, false);
    const int products = stand_in_products;
    assert_true(products == 4 * 3 + 2 * 6 + 3);
    double least = HUGE_VAL;
    for (int i = 0; i < products; i++) {
        stand_in_products = 0;
        stand_in_short_product = i;
        pass_gpu(p, false);
        const double loss_error = fabs(p.loss - wanted) / wanted, error = worst_gradient(p);
        if (!(loss_error > loss_tolerance || error > gradient_tolerance))
            fail_msg("product %d of %d lacks a term: loss differs by %.1e, the worst gradient by %.1e", i,
                     products, loss_error, error);
        least = error < least ? error : least;
    }
    stand_in_short_product = -1;
    print_message("%d products, each with a term too few: the worst gradient differs by %.1e at least\n",
                  products, least);
}

/* And a barrier that is left out shows in some order of threads. */
static void each_barrier_counts(void **)
{
    simt::set_order(simt::order::forward);
    pair p(false, 1);
    pass_gpu(p, false);
    const std::vector<float> wanted = p.gpu_gradients;
    const double loss = p.loss;
    int barriers = 0;
    for (int i = 0; i < STAND_IN_BARRIERS; i++) {
        if (!stand_in_barrier_reached[i])
            continue;
        unsigned found = 0;
        stand_in_missing_barrier = i;
        for (const simt::named_order &order : simt::orders) {
            simt::set_order(order.by, order.seed);
            pass_gpu(p, false);
            found += !same_bits(p.gpu_gradients, wanted) || !(p.loss >= loss && p.loss <= loss);
        }
        stand_in_missing_barrier = -1;
        print_message("without barrier %d: wrong in %u of 4 orders\n", ++barriers, found);
        assert_true(found > 0);
    }
    assert_true(barriers >= 5);
}

int main()
{
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_gives_the_gradients_of_the_cpu),
        cmocka_unit_test(each_gradient_is_queued_before_it_is_ready),
        cmocka_unit_test(steps_of_adamw_agree),
        cmocka_unit_test(gradients_are_added),
    };
    const CMUnitTest many_passes[] = {
        cmocka_unit_test(each_product_counts),
        cmocka_unit_test(each_barrier_counts),
    };
#ifdef __SANITIZE_ADDRESS__ /* the same code again, and slow */
    const bool all = false;
#else
    const bool all = true;
#endif
    const int failed = cmocka_run_group_tests(tests, nullptr, nullptr);
    return all ? failed + cmocka_run_group_tests(many_passes, nullptr, nullptr) : failed;
}
