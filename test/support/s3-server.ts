/**
 * The S3-compatible store that `npm run interop:s3` has started (Versity's gateway, a real server that
 * checks signatures); null in other runs.
 */
export interface S3Server {
  /** `http://127.0.0.1:port/bucket` */
  readonly url: string;
  readonly keyId: string;
  readonly secret: string;
}

export function s3Server(): S3Server | null {
  const { S3_URL: url, S3_KEY_ID: keyId, S3_SECRET: secret } = process.env;
  if (url === undefined || keyId === undefined || secret === undefined) return null;
  return { url, keyId, secret };
}
