"""As many threads read as the account's answer times need."""

import threading

import pytest

from acsync.activecampaign.client import Client
from acsync.activecampaign.rate_limiter import RateLimiter
from acsync.sync.readers import Readers, count_readers


@pytest.mark.parametrize(
    ("rate", "seconds", "readers"),
    [(10, 0.1, 12), (10, 1.0, 12), (10, 2.75, 33), (10, 4.0, 48), (5, 4.0, 24), (10, 60.0, 48)],
)
def test_threads_grow_with_the_time_of_an_answer(rate: float, seconds: float, readers: int) -> None:
    """Twelve threads made four of ten calls per second if each call took 2.75 s."""
    assert count_readers(rate, seconds) == readers


def test_more_threads_read_once_answers_are_slow() -> None:
    """The others wait, because each one that reads holds a part of a slice in memory."""
    client = Client("https://acme.api-us1.com/api/3", "k3y", RateLimiter(10))
    readers, reading, done = Readers(client, 10), threading.Semaphore(0), threading.Event()

    def read() -> None:
        with readers.turn():
            reading.release()
            done.wait(60)

    threads = [threading.Thread(target=read) for _ in range(30)]
    for thread in threads:
        thread.start()
    started = [reading.acquire(timeout=60) for _ in range(12)]
    waits = not reading.acquire(timeout=0.2)
    client.answer_times.note("contacts", 2.0)
    started += [reading.acquire(timeout=60) for _ in range(12)]
    waits &= not reading.acquire(timeout=0.2)
    done.set()
    for thread in threads:
        thread.join(60)
    client.close()

    assert (all(started), waits) == (True, True)
