/** A failure as XenAPI tells it: a code and parameters, all strings. What goes wrong for a client is thrown as this. */
export class Failure extends Error {
  readonly code: string;
  readonly params: readonly string[];

  constructor(code: string, ...params: string[]) {
    // Nobody asks where one was made, and `allowed_operations` makes many: a stack costs more than all else.
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 0;
    super(`${code}(${params.join(', ')})`);
    Error.stackTraceLimit = limit;
    this.code = code;
    this.params = params;
  }

  get description(): string[] {
    return [this.code, ...this.params];
  }
}

/** What a client is told of an error that is a mistake of ours; the log gets the rest. */
export const asFailure = (error: unknown): Failure =>
  error instanceof Failure ? error : new Failure('INTERNAL_ERROR', (error as Error)?.message ?? String(error));
