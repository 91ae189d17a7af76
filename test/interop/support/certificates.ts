/** Key pairs and certificates, made by openssl when a run starts; nothing of them is kept. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface CertificatePair {
  readonly cert: string;
  readonly key: string;
}

/** Self-signed, for ten days. @param isCa  with `CA:TRUE`, as ca_certificates need it */
export function makeCertificate(name: string, isCa = false): CertificatePair {
  const folder = mkdtempSync(join(tmpdir(), 'headgate-certificate-'));
  try {
    const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
    const use = ['-addext', `basicConstraints=critical,CA:${isCa ? 'TRUE' : 'FALSE'}`];
    const files = ['-keyout', keyFile, '-out', certFile];
    openssl([
      'req',
      '-x509',
      '-newkey',
      ...EC,
      '-nodes',
      '-days',
      '10',
      ...subject,
      ...use,
      ...files,
    ]);
    return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** PEM, PKCS #8 and SPKI, 2048 bits. */
export function makeRsaKeys(): { readonly privateKey: string; readonly publicKey: string } {
  const privateKey = openssl(['genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048']);
  return { privateKey, publicKey: openssl(['pkey', '-pubout'], privateKey) };
}

const EC = ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'] as const;

function openssl(args: readonly string[], input = ''): string {
  return execFileSync('openssl', args, {
    input,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}
