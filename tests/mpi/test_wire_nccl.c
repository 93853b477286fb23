/* The NCCL wire between processes, its control wire over MPI: many operations, in another order on every rank. */
/* ranks: 2 4 */
#include "harness.h"

#include "tests/unit/nccl_many.h"
#include "wire/mpi.h"

static int rank, ranks;

static void test_any_order_of_starts(void **state)
{
    nccl_rank self = {
        .rank = rank, .ranks = ranks, .cuda = fake_cuda(), .library = FAKE_NCCL_LIBRARY, .timeout = 20};
    (void)state;
    assert_non_null(self.cuda);
    assert_dist(dist_wire_mpi_open(&self.control, MPI_COMM_WORLD, 2));
    assert_int_equal(self.cuda->select(rank), 0);
    assert_int_equal(self.cuda->stream_create(&self.stream, 0), 0);
    for (int again = 0; again < 2; again++) /* the channel can be used again after an orderly end */
        run_many(&self, 8);
    self.cuda->stream_destroy(self.stream);
    self.control->ops->close(self.control, false);
    assert_int_equal(self.wrong, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_order_of_starts)};
    return harness_main(argc, argv, tests, sizeof tests / sizeof *tests, &rank, &ranks);
}
