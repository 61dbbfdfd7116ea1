"""asteroid/labelling/queue.py: every row once, and everybody busy to the end."""

from hypothesis import given
from hypothesis import strategies as st

from asteroid.labelling.queue import CHUNK_SECONDS, LARGEST_CHUNK, Queue


@given(rows=st.integers(1, 400), workers=st.integers(1, 9), data=st.data())
def test_every_row_is_given_out_once_whatever_is_returned(rows, workers, data):
    queue = Queue(rows, workers)
    computed: list[int] = []
    while True:
        queue.learn(seconds=data.draw(st.floats(1e-4, 2.0)))
        taken = queue.take()
        if not taken:
            break
        done = data.draw(st.integers(1, len(taken)))
        computed += taken[:done]
        queue.give_back(taken[done:])
    assert sorted(computed) == list(range(rows))


def test_a_chunk_is_half_a_second_of_work_and_never_larger_than_can_be_sent_at_once():
    queue = Queue(rows=10_000, workers=2)
    assert len(queue.take()) == 1, "nothing is known of the cost yet"
    queue.learn(seconds=0.01)
    assert len(queue.take()) == round(CHUNK_SECONDS / 0.01)
    queue.learn(seconds=1e-5)
    assert len(queue.take()) == LARGEST_CHUNK
    queue.learn(seconds=60.0)
    assert len(queue.take()) == 1


def test_workers_of_unequal_speed_end_within_a_chunk_of_each_other():
    # In units of the fast worker's label: the slow one takes three for each.
    seconds = [0.1, 0.3]
    queue = Queue(rows=300, workers=2)
    queue.learn(seconds=0.1)
    clocks = [0.0, 0.0]
    while taken := queue.take():
        worker = clocks.index(min(clocks))
        clocks[worker] += len(taken) * seconds[worker]
    assert abs(clocks[0] - clocks[1]) <= 5 * seconds[1]
