/** A failure that one sentence explains. */
export class ImageError extends Error {}
