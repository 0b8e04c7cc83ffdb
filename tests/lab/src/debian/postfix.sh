# Starts Debian's postfix for one test. smtpd listens on port 25 and looks the clients
# up, or with POSTSCREEN=1 postscreen does. SLOTS is the maximum number of connections:
# smtpd's process limit, or `postscreen_pre_queue_limit`. With AUTH=1, smtpd is set to
# offer AUTH.
fresh server etc/postfix
fresh server var/lib/postfix
fresh server var/spool/postfix
# Removes other mail servers that the machine may have.
fresh server etc/courier
rm -f /usr/sbin/exim4 /usr/sbin/exim

# What the package's scripts do when it is installed.
add_user postfix 64990 /var/spool/postfix
add_user postdrop 64992 /var/spool/postfix
chown postfix: /var/lib/postfix
chgrp postdrop /usr/sbin/postdrop /usr/sbin/postqueue
chmod 2555 /usr/sbin/postdrop /usr/sbin/postqueue
cd /etc/postfix
cp /usr/share/postfix/main.cf.debian main.cf
cp /usr/share/postfix/master.cf.dist master.cf
cp /usr/share/postfix/dynamicmaps.cf .
# The settings that the package writes for "Internet Site".
postconf -e myhostname=mx.here.example 'mydestination=$myhostname, localhost' relayhost= \
    'mynetworks=127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128' inet_interfaces=all inet_protocols=all

# What the server's administrator sets.
administrator() {
    postconf -F '*/*/chroot = n'
    postconf -e myhostname=mx.here.example mydestination=here.example home_mailbox=Maildir/ \
        'mynetworks=127.0.0.0/8 [::1]/128' alias_maps= \
        'virtual_alias_maps=inline:{forward@here.example=friend@there.example,other@here.example=friend2@there.example}' \
        'transport_maps=inline:{there.example=smtp:[100.64.1.1]}'
    if [ "$POSTSCREEN" = 1 ]; then
        postconf -M smtp/inet='smtp inet n - n - 1 postscreen' \
            smtpd/pass='smtpd pass - - n - - smtpd' dnsblog/unix='dnsblog unix - - n - 0 dnsblog'
        postconf -e postscreen_dnsbl_sites=zone.example postscreen_dnsbl_action=enforce \
            postscreen_greet_action=enforce postscreen_greet_wait="${GREET_WAIT}s" \
            postscreen_pre_queue_limit="$SLOTS"
    else
        postconf -F smtp/inet/process_limit="$SLOTS"
        postconf -e 'smtpd_recipient_restrictions=reject_unauth_destination, reject_rbl_client zone.example'
    fi
    [ "$AUTH" = 0 ] || postconf -e smtpd_sasl_auth_enable=yes
}
[ "$AS_INSTALLED" = 1 ] || administrator

postfix start
stand
