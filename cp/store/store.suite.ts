/** What every driver must make true of the store. Run by `store.{pglite,pg,neon}.test.ts`. */
import { afterAll, beforeAll, describe } from 'vitest';
import { describeBatches } from './batches.suite.ts';
import { SuiteContext, type SuiteOptions } from './context.suite.ts';
import { describeEntities, describeDeletes } from './entities.suite.ts';
import { describeHistory } from './history.suite.ts';
import { describeVersions, describeOthers } from './versions.suite.ts';
import { describeDatabase, describeStart } from './database.suite.ts';

export function storeSuite(options: SuiteOptions): void {
  describe(`the store over ${options.name}`, () => {
    const context = new SuiteContext(options);
    beforeAll(() => context.start(), 60_000);
    afterAll(() => context.stop());

    describeEntities(context);
    describeVersions(context);
    describeDeletes(context);
    describeBatches(context);
    describeHistory(context);
    describeDatabase(context);
    describeStart(context, options);
    if (options.isConcurrent) describeOthers(context);
  });
}
