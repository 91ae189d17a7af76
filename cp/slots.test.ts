import { expect, it } from 'vitest';
import { Slots } from './slots.ts';

it('gives out so many places, and the next in the order they were asked for', async () => {
  const slots = new Slots(2);
  const taken: number[] = [];
  const take = async (id: number) => {
    const release = await slots.take();
    taken.push(id);
    return release;
  };
  const [first, second, third, fourth] = [take(1), take(2), take(3), take(4)];
  const release = await second;
  await first;
  expect([taken, slots.waiting]).toEqual([[1, 2], 2]);
  release();
  release();
  await third;
  expect([taken, slots.waiting]).toEqual([[1, 2, 3], 1]);
  (await third)();
  await fourth;
  expect([taken, slots.waiting]).toEqual([[1, 2, 3, 4], 0]);
});
