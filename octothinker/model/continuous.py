"""Continuous batching: a sequence that ends hands its place to the next in the queue, so that the batch stays full.

    queue --a place is free--> prompt's pages (filled once a prompt) --shared--> its samples --a token a step--> ended

Every sample starts by running its prompt's last token again, in its own copy of the prompt's last, half-filled page: all rows
of a step are then alike, whenever a sample enters.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal

import numpy as np

from octothinker.model.compiled import KEEP, PAGE, Decoder, Pages

if TYPE_CHECKING:
    from octothinker.model.engine import Row


# While all weights, keys and values of a small model stay in the processor's cache, none are read from memory at each step:
# 65 places at a time instead of 256 make nano 1.5 times as fast on one thread (Zen 4, 32 MB of L3 shared with others).
CACHE = 12 * 2**20  # bytes
ENOUGH = 48  # rows that keep the matrix products busy; with fewer the steps' own cost shows

Finish = Literal["stop", "length"]


class Batch:
    """Decodes `rows` (a request's samples next to each other), up to `size` at a time.

    ends (V,) bool: tokens that end a text. suspects(stop): the tokens (V,) bool after which `stopped(tokens, stop)` must look.
    """

    def __init__(
        self,
        decoder: Decoder,
        rows: list[Row],
        size: int,
        ends: np.ndarray,
        suspects: Callable[[tuple[str, ...]], np.ndarray],
        stopped: Callable[[list[int], tuple[str, ...]], bool],
    ) -> None:
        longest = max(len(row.ask.prompt) + row.ask.max_tokens for row in rows)
        width = -(-longest // PAGE)
        in_cache = (CACHE - decoder.weight_bytes) // (width * decoder.page_bytes)
        self.size = size = min(size, len(rows), in_cache if in_cache >= ENOUGH else len(rows))
        self.decoder, self.queue, self.ends, self.stopped = decoder, deque(rows), ends, stopped
        self.pages = Pages(decoder.page_bytes, decoder.arenas)
        self.prompts: dict[int, list[int]] = {}  # pages of requests that have samples in the queue
        stops = list(dict.fromkeys(row.ask.stop for row in rows))
        self.stop_number = {stop: i for i, stop in enumerate(stops)}
        self.looks = np.stack([ends | suspects(stop) for stop in stops])  # tokens after which a sample may have ended
        # By place in the batch:
        self.rows: list[Row | None] = [None] * size
        self.table = np.zeros((size, width), np.int64)  # addresses of pages
        self.tokens, self.positions = np.zeros(size, np.int32), np.zeros(size, np.int32)  # the newest, not yet run
        self.keys, self.counts = np.zeros(size, np.uint64), np.zeros(size, np.int32)
        self.temperatures, self.limits = np.zeros(size, np.float32), np.zeros(size, np.int32)
        self.stops = np.zeros(size, np.int32)
        # What was drawn in the last steps, step after step; a sample that has drawn n tokens finds them in the last n lines.
        self.step, self.most = 0, max(row.ask.max_tokens for row in rows)
        self.drawn, self.logprobs = np.zeros((self.most, size), np.int32), np.zeros((self.most, size), np.float32)

    def run(self) -> Iterator[tuple[Row, Finish]]:
        """Rows with their tokens and log-probabilities, as they end."""
        free = list(range(self.size))
        everyone = np.arange(self.size, dtype=np.int32)
        running: np.ndarray | None = None  # None: every place
        while True:
            if free and self.queue:
                self._admit(free)
            if free:
                running = np.array([i for i, row in enumerate(self.rows) if row], np.int32)
                if not len(running):
                    if sum(arena.nbytes for arena in self.pages.arenas) > KEEP:
                        self.pages.arenas.clear()
                    return
                running = None if len(running) == self.size else running
            free = []
            for place, finish in self._step(everyone, slice(None)) if running is None else self._step(running, running):
                row = self.rows[place]
                assert row
                lines = self._lines(place)
                row.tokens, row.logprobs = self.drawn[lines, place].tolist(), self.logprobs[lines, place].tolist()
                yield row, finish
                for page in self.table[place, : -(-int(self.positions[place]) // PAGE)].tolist():
                    self.pages.drop(page)
                self.rows[place] = None
                free.append(place)

    def _lines(self, place: int) -> np.ndarray:
        return np.arange(self.step - self.counts[place], self.step) % self.most

    def _admit(self, free: list[int]) -> None:
        """The next of the queue into the free places; the prompts that are new are filled in together."""
        chosen = [(place, self.queue.popleft()) for place, _ in zip(free, range(len(self.queue)), strict=False)]
        tokens, positions, tables = [], [], []
        for _, row in chosen:
            if row.request not in self.prompts:
                prompt = np.array(row.ask.prompt[:-1], np.int32)
                pages, known = self.pages.prompt(prompt)
                self.prompts[row.request] = pages
                tables.append(pages)
                tokens.append(prompt[known:])
                positions.append(np.arange(known, len(prompt), dtype=np.int32))
        if any(map(len, tokens)):
            table = np.zeros((len(tables), self.table.shape[1]), np.int64)
            for line, pages in zip(table, tables, strict=True):
                line[: len(pages)] = pages
            sequences = np.repeat(np.arange(len(tables), dtype=np.int32), [len(t) for t in tokens])
            self.decoder.fill(np.concatenate(tokens), np.concatenate(positions), sequences, table)
        for place, row in chosen:
            pages = self.prompts[row.request]
            whole = (len(row.ask.prompt) - 1) // PAGE
            mine = [self.pages.share(page) for page in pages[:whole]] + [
                self.pages.copy(page) for page in pages[whole:]
            ]
            self.table[place, : len(mine)] = mine
            self.rows[place] = row
            self.tokens[place], self.positions[place] = row.ask.prompt[-1], len(row.ask.prompt) - 1
            self.keys[place], self.counts[place] = row.key, 0
            self.temperatures[place], self.limits[place] = row.ask.temperature, row.ask.max_tokens
            self.stops[place] = self.stop_number[row.ask.stop]
        waiting = self.queue[0].request if self.queue else None
        for request in [number for number in self.prompts if number != waiting]:
            for page in self.prompts.pop(request):
                self.pages.drop(page)

    def _step(self, running: np.ndarray, at: np.ndarray | slice) -> list[tuple[int, Finish]]:
        """A token for every running place; those that end with it. `at`: the same places; a slice, where it is all of them,
        spares the copies."""
        positions, counts = self.positions[at], self.counts[at]
        for place in running[positions % PAGE == 0].tolist():
            self.table[place, self.positions[place] // PAGE] = self.pages.take()
        tokens, logprobs = self.decoder.draw(
            self.tokens[at], positions, running, self.table, self.keys[at], counts, self.temperatures[at]
        )
        line = self.step % self.most
        self.drawn[line, at], self.logprobs[line, at], self.tokens[at] = tokens, logprobs, tokens
        self.positions[at] += 1
        self.counts[at] += 1
        self.step += 1
        look = self.looks[0][tokens] if len(self.looks) == 1 else self.looks[self.stops[at], tokens]
        look |= self.counts[at] == self.limits[at]
        ended: list[tuple[int, Finish]] = []
        for place in running[look].tolist():
            row = self.rows[place]
            assert row
            if self.ends[self.tokens[place]] or (
                row.ask.stop and self.stopped(self.drawn[self._lines(place), place].tolist(), row.ask.stop)
            ):
                ended.append((place, "stop"))
            elif self.counts[place] == row.ask.max_tokens:
                ended.append((place, "length"))
        return ended
