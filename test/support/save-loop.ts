/** A process of its own: saves one configuration after the other until it is killed. */
import { FileConfigStore } from '../../node-dp/config-store.ts';
import { storedConfig } from '../conformance/stored-config.ts';

const store = new FileConfigStore(process.argv[2] ?? '');

async function saveFrom(round: number): Promise<void> {
  await store.save(storedConfig(`round ${round}`, 2000));
  if (round === 0) process.send?.('saving');
  setImmediate(() => void saveFrom(round + 1));
}

await saveFrom(0);
