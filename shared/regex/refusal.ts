/** Why a pattern is refused; thrown and caught within this folder. */
export class RegexRefusal extends Error {
  override readonly name = 'RegexRefusal';
}
