#!/bin/sh
# Makes the realm's administrator where there is none. Secrets come by environment, and go to Keycloak by standard input.
set -eu
kcadm=/opt/keycloak/bin/kcadm.sh
config=/tmp/kcadm.config

# The variable that kcadm reads instead of an argument, which other processes could see.
KC_CLI_PASSWORD=$KEYCLOAK_ADMIN_PASSWORD "$kcadm" config credentials --config "$config" --server "$KEYCLOAK_URL" \
  --realm master --user "$KEYCLOAK_ADMIN"

id=$("$kcadm" get users --config "$config" -r "$REALM" -q "username=$REALM_ADMIN" -q exact=true --fields id --format csv --noquotes)
if [ -n "$id" ]; then
  echo "user $REALM_ADMIN is there already: left alone"
else
  id=$("$kcadm" create users --config "$config" -r "$REALM" -i -s "username=$REALM_ADMIN" -s enabled=true)
  printf '{"type":"password","temporary":false,"value":"%s"}' "$REALM_ADMIN_PASSWORD" |
    "$kcadm" update "users/$id/reset-password" --config "$config" -r "$REALM" -n -f -
  echo "user $REALM_ADMIN made"
fi

group=$("$kcadm" get groups --config "$config" -r "$REALM" -q "search=$REALM_GROUP" -q exact=true --fields id --format csv --noquotes)
"$kcadm" update "users/$id/groups/$group" --config "$config" -r "$REALM" -n -s "realm=$REALM" -s "userId=$id" -s "groupId=$group"
echo "user $REALM_ADMIN is in group $REALM_GROUP"
