/** How bad a line of the log is, least first (RFC 5424, section 6.2.1). */
export const SEVERITIES = [
  'debug',
  'info',
  'notice',
  'warning',
  'err',
  'crit',
  'alert',
  'emerg',
] as const;
