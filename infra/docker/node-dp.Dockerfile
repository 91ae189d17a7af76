# Node data plane. Build from the repository's root:
#   docker build -f infra/docker/node-dp.Dockerfile -t headgate-dp .
FROM node:24.21.0-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts

FROM node:24.21.0-bookworm-slim
ENV NODE_ENV=production \
    HEADGATE_DATA_DIR=/var/lib/headgate \
    HEADGATE_PROXY_LISTEN=0.0.0.0:8000
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json headgate.mjs ./
COPY shared ./shared
COPY node-dp ./node-dp
RUN install -d -o node -g node -m 0700 /var/lib/headgate
USER node
VOLUME /var/lib/headgate
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=2s --start-period=5s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8007/status/ready').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "headgate.mjs", "dp"]
