/** Authorities and what they sign, made by the Debian package openssl while a test runs. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Issued {
  /** The certificate alone. */
  readonly cert: string;
  readonly key: string;
  /** The certificate and the intermediate authorities above it. */
  readonly chain: string;
}

interface Request {
  /** Common name, and a DNS name too where `hosts` names none. */
  readonly name: string;
  readonly hosts?: readonly string[];
  readonly type?: 'rsa' | 'ec';
  readonly isAuthority?: boolean;
}

export class TestAuthority implements Issued {
  readonly cert: string;
  readonly key: string;
  readonly chain: string;

  private constructor({ cert, key, chain }: Issued) {
    this.cert = cert;
    this.key = key;
    this.chain = chain;
  }

  static root(name = 'Test Root'): TestAuthority {
    const { cert, key } = make({ name, isAuthority: true }, null);
    return new TestAuthority({ cert, key, chain: '' });
  }

  authority(name: string): TestAuthority {
    return new TestAuthority(this.issue({ name, isAuthority: true }));
  }

  issue(request: Request): Issued {
    const { cert, key } = make(request, this);
    return { cert, key, chain: cert + this.chain };
  }
}

function make(request: Request, issuer: TestAuthority | null): { cert: string; key: string } {
  const { name, hosts = [name], type = 'ec', isAuthority = false } = request;
  const folder = mkdtempSync(join(tmpdir(), 'headgate-pki-'));
  const at = (file: string): string => join(folder, file);
  const algorithm =
    type === 'rsa' ? ['rsa:2048'] : ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const names = hosts.map((host) => (/^[\d.]+$/.test(host) ? `IP:${host}` : `DNS:${host}`));
  const extensions = isAuthority
    ? ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign,cRLSign']
    : ['basicConstraints=critical,CA:FALSE', `subjectAltName=${names.join(',')}`];
  const args = ['req', '-x509', '-nodes', '-days', '2', '-subj', `/O=Headgate/CN=${name}`];
  for (const extension of extensions) args.push('-addext', extension);
  args.push('-newkey', ...algorithm, '-keyout', at('key.pem'), '-out', at('cert.pem'));
  try {
    if (issuer !== null) {
      writeFileSync(at('ca.pem'), issuer.cert);
      writeFileSync(at('ca.key'), issuer.key);
      args.push('-CA', at('ca.pem'), '-CAkey', at('ca.key'));
    }
    execFileSync('openssl', args, { stdio: 'pipe' });
    return { cert: readFileSync(at('cert.pem'), 'utf8'), key: readFileSync(at('key.pem'), 'utf8') };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
