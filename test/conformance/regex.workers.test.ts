/** Regexes in workerd: the same syntax, the same matches, the same two engines in agreement. */
/* oxlint-disable import/no-unassigned-import -- they register their tests, and that is all */
import '../../shared/regex/engines.test.ts';
import '../../shared/regex/regex.test.ts';
import '../../shared/regex/syntax.test.ts';
