/** Settings that every program of the product has. */
import { defineFields } from '../schema/infer.ts';

const CIDR = /^[0-9a-fA-F.:]+(\/\d{1,3})?$/;

/** An address or a CIDR block; its exact form is checked again where it is used. */
export function cidrError(text: string): string | null {
  return CIDR.test(text) ? null : 'IP addresses or CIDR blocks such as 10.0.0.0/8';
}

export const COMMON_SETTINGS = defineFields({
  HEADGATE_DATA_DIR: {
    type: 'string',
    required: true,
    default: '.headgate',
    description: 'Folder for everything a process keeps: embedded database, keys, identity, cache.',
  },
  HEADGATE_LOG_LEVEL: {
    type: 'string',
    required: true,
    default: 'info',
    one_of: ['debug', 'info', 'warn', 'error'],
    description: 'Least level that is written to standard output, as JSON lines.',
  },
  HEADGATE_TLS_CERT: {
    type: 'string',
    description: 'PEM file with the certificate chain of the listeners marked ssl.',
  },
  HEADGATE_TLS_KEY: {
    type: 'string',
    description: 'PEM file with the private key of HEADGATE_TLS_CERT.',
  },
});
