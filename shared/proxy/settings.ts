/** From the settings of a data plane to those of its request path. */
import { formatOfType } from '../http/error-response.ts';
import { TrustedProxies } from '../http/forwarded.ts';
import { RESPONSE_FIELDS_DEFAULT, responseFields } from '../http/response-headers.ts';
import type { CoreSettings } from '../settings/common.ts';
import type { ProxySettings } from './gateway.ts';

/** As when nothing is set. */
export const PROXY_SETTINGS_DEFAULT: ProxySettings = {
  trustedIps: TrustedProxies.NONE,
  allowDebugHeader: false,
  allowOddTargets: false,
  errorDefaultFormat: 'plain',
  responseFields: responseFields(RESPONSE_FIELDS_DEFAULT),
  sendsRequestId: true,
  activeMax: 32_768,
  upstreamActiveMax: 16_384,
  targetActiveMax: 8192,
};

/** @returns the first malformed item of HEADGATE_TRUSTED_IPS instead, so that it can be named */
export function proxySettings(
  core: CoreSettings,
): { ok: true; value: ProxySettings } | { ok: false; item: string } {
  const trusted = TrustedProxies.parse(core.HEADGATE_TRUSTED_IPS, core.HEADGATE_REAL_IP_HEADER);
  if (!trusted.ok) return trusted;
  return {
    ok: true,
    value: {
      trustedIps: trusted.value,
      allowDebugHeader: core.HEADGATE_ALLOW_DEBUG_HEADER,
      allowOddTargets: core.HEADGATE_ALLOW_ODD_TARGETS,
      errorDefaultFormat: formatOfType(core.HEADGATE_ERROR_DEFAULT_TYPE),
      responseFields: responseFields(core.HEADGATE_HEADERS),
      sendsRequestId: core.HEADGATE_HEADERS_UPSTREAM !== 'off',
      activeMax: core.HEADGATE_MAX_ACTIVE_REQUESTS,
      upstreamActiveMax: core.HEADGATE_UPSTREAM_MAX_ACTIVE_REQUESTS,
      targetActiveMax: core.HEADGATE_TARGET_MAX_ACTIVE_REQUESTS,
    },
  };
}
