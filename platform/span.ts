/** What a thread of the host did, for trace files; times in nanoseconds of system time. */
export interface ThreadSpan {
  readonly thread: string;
  readonly name: string;
  readonly start: number;
  readonly duration: number;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** Who is told, and by which clock. */
export interface SpanSink {
  readonly now: () => number;
  readonly span: (span: ThreadSpan) => void;
}
