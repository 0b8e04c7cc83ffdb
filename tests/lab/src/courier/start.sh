# Starts Debian's courier-mta for one test. The directory SITE gets a copy of Courier's
# configuration, for `spamdrop config check`. TARPIT and SLOTS become TARPIT and
# MAXDAEMONS in Courier's file `esmtpd`.
fresh tree etc/courier
fresh tree var/lib/courier
# Removes other mail servers that the machine may have.
rm -f /usr/sbin/postconf /usr/sbin/exim4 /usr/sbin/exim

# What the packages' scripts do when they are installed.
add_user courier 64990 /var/lib/courier
chown -R root:root /etc/courier
cd /var/lib/courier
chown -R courier:courier .
chmod 750 . allfilters filters msgq msgs track
chmod 770 tmp
cd /etc/courier
chgrp -R courier aliasdir aliases esmtpauthclient
chmod 640 esmtpauthclient
chown root:courier /usr/sbin/sendmail
chmod 2755 /usr/sbin/sendmail
chown courier:courier /usr/lib/courier/courier/submitmkdir
chmod 4755 /usr/lib/courier/courier/submitmkdir
ln -sf makedat.courier /usr/bin/makedat
install -d -g courier -m 775 /run/courier
install -d -o courier -g courier -m 750 /run/courier/authdaemon

echo mx.here.example >me
echo here.example | tee defaultdomain locals esmtpacceptmailfor.dir/default >/dev/null
echo postmaster@here.example >dsnfrom

# What its administrator sets.
administrator() {
    sed -i -e "s/^TARPIT=.*/TARPIT=$TARPIT/" -e "s/^MAXDAEMONS=.*/MAXDAEMONS=$SLOTS/" \
        -e 's/^BLACKLISTS=.*/BLACKLISTS="-block=zone.example,BLOCK,*"/' esmtpd
    echo "there.example:[100.64.1.1]" >esmtproutes
    echo "forward@here.example: friend@there.example" >>aliases/system
}
[ "$AS_INSTALLED" = 1 ] || administrator
cp -r /etc/courier /run/site/courier
makesmtpaccess
makeacceptmailfor
makealiases

authdaemond start
courier start
esmtpd start
stand
