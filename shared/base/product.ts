/** Who we say we are. The only place these texts stand. */

/** Headgate's own version; a test keeps it equal to package.json's. */
export const HEADGATE_VERSION = '0.1.0';

/** The Kong Gateway version whose Admin API and proxy behaviour we follow; tools decide by it. */
export const KONG_VERSION = '3.9.4';

/** The token in `Via` and `Server`, as Kong's (`kong/meta.lua`). */
export const SERVER_TOKEN = `kong/${KONG_VERSION}`;
