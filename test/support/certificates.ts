/** Certificates made by the Debian package openssl while a test runs: none is kept anywhere. */
import { execFileSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
  /** Public half of the key, in PEM form. */
  readonly publicKey: string;
}

interface CertificateOptions {
  readonly type?: 'rsa' | 'ec';
  readonly isAuthority?: boolean;
}

export function makeCertificate(options: CertificateOptions = {}): TestCertificate {
  const { type = 'ec', isAuthority = false } = options;
  const folder = mkdtempSync(join(tmpdir(), 'headgate-certificate-'));
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  const algorithm =
    type === 'rsa' ? ['rsa:2048'] : ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const constraint = `basicConstraints=critical,CA:${isAuthority ? 'TRUE' : 'FALSE'}`;
  const files = ['-keyout', keyFile, '-out', certFile];
  const args = ['-nodes', '-subj', '/CN=test.invalid', '-newkey', ...algorithm, ...files];
  try {
    execFileSync('openssl', ['req', '-x509', '-addext', constraint, ...args], { stdio: 'pipe' });
    const key = readFileSync(keyFile, 'utf8');
    const publicKey = createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString();
    return { cert: readFileSync(certFile, 'utf8'), key, publicKey };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Of an authority, and over since 2021. Its key was thrown away. */
export const EXPIRED_AUTHORITY = `-----BEGIN CERTIFICATE-----
MIIBVTCB+6ADAgECAgEBMAoGCCqGSM49BAMCMBoxGDAWBgNVBAMMD2V4cGlyZWQu
aW52YWxpZDAeFw0yMDAxMDEwMDAwMDBaFw0yMTAxMDEwMDAwMDBaMBoxGDAWBgNV
BAMMD2V4cGlyZWQuaW52YWxpZDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABB04
gTF6zYIBpSMC/WBUQa4gh35QsWF9IFHGSYeeEy81lBU2gR3P84Wlok5qiDMUCw4P
+vUTMupVUhcAgka/HmWjMjAwMA8GA1UdEwEB/wQFMAMBAf8wHQYDVR0OBBYEFJZl
yWDU4f5O1D+HDniIKbWIFNeLMAoGCCqGSM49BAMCA0kAMEYCIQDmCQRgo3qvMkjL
hc/yEGKUJ7enD8uS0t2B8LW+k3mrbAIhAL51c7dXrs2vjCLgT5xvXYzDynXIB11I
2U6dOdjGdhwM
-----END CERTIFICATE-----
`;
