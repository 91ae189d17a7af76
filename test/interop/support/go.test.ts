import { describe, expect, it } from 'vitest';
import { goProblem } from './go.ts';

describe('the Go that is there', () => {
  it.each(['go1.26.8', 'go1.26', 'go1.27rc1', 'go2.0.1'])('%s will do', (version) => {
    expect(goProblem(`${version}\n`)).toBeNull();
  });

  it.each(['go1.25.5', 'go1.9', 'devel'])('%s is named with what is needed', (version) => {
    expect(goProblem(version)).toMatch(new RegExp(`^this is ${version}: install Go 1.26 or newer`));
  });

  it('is asked for where there is none', () => {
    expect(goProblem(null)).toMatch(/^no `go` found: install Go 1.26 or newer/);
  });
});
